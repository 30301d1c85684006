# SPDX-License-Identifier: Apache-2.0
"""Probabilities and labels brought into one form, or refused in one clear sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "check_values",
    "rank_columns",
    "score_arrays",
    "whole_rows",
]

FloatArray = NDArray[np.float64]


def score_arrays(
    who: str, prob: Any, label: Any, *, patient_id: Sequence[object] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return ``prob`` and ``label`` as float64 ``(N, C)``, after the checks that all metrics share.

    Args:
        who: what the user called; begins the message.
        prob: probabilities in [0, 1], ``(N,)`` or ``(N, C)``.
        label: 1, 0, or NaN for unknown, same shape.
        patient_id: who each image belongs to, N of them, or None.

    Raises:
        ValueError: if nothing is there, shapes differ, or a value is not a probability or label.
    """
    probs, truth = np.asarray(prob, np.float64), np.asarray(label, np.float64)
    _check_shapes(who, probs, truth)
    if not probs.size:
        raise ValueError(
            f"{who}: `prob` must hold at least one image, got none. Was the section empty?"
        )
    check_values(who, probs, truth)
    if patient_id is not None and len(patient_id) != len(probs):
        raise ValueError(
            f"{who}: `patient_id` must have one entry per image, {len(probs)}, got "
            f"{len(patient_id)}. Collect it from the same batches."
        )
    return (probs, truth) if probs.ndim == 2 else (probs[:, None], truth[:, None])


def check_values(who: str, prob: FloatArray, label: FloatArray, *, ranks: bool = False) -> None:
    """Refuse values that are not probabilities or labels.

    Args:
        who: what the user called; begins the message.
        prob: any shape.
        label: any shape.
        ranks: whether only the order of ``prob`` counts, so that any numbers will do.

    Raises:
        ValueError: if a value is not a probability (with ``ranks``, not a number) or a label.
    """
    bad = int((np.isnan(prob) if ranks else ~((prob >= 0) & (prob <= 1))).sum())
    if bad and ranks:
        raise ValueError(
            f"{who}: `prob` must be numbers, got {bad} that are NaN. A NaN means that training "
            "has diverged."
        )
    if bad:
        raise ValueError(
            f"{who}: `prob` must be in [0, 1], got {bad} values that are NaN or outside. "
            "Apply the activation to the logits; a NaN means that training has diverged."
        )
    if not (np.isnan(label) | (label == 0) | (label == 1)).all():
        raise ValueError(
            f"{who}: `label` must be 0, 1, or NaN for unknown, got other values. "
            "Class numbers must be made one-hot."
        )


def rank_columns(who: str, prob: Any, label: Any) -> tuple[FloatArray, FloatArray]:
    """Return scores of which the order counts, and labels, as float64 ``(N, C)``, checked.

    Args:
        who: what the user called; begins the message.
        prob: numbers, ``(N,)`` or ``(N, C)``; N may be 0.
        label: 1, 0, or NaN for unknown, same shape.

    Raises:
        ValueError: if shapes differ, a score is NaN, or a value is not a label.
    """
    score, truth = np.asarray(prob, np.float64), np.asarray(label, np.float64)
    _check_shapes(who, score, truth)
    check_values(who, score, truth, ranks=True)
    return (score, truth) if score.ndim == 2 else (score[:, None], truth[:, None])


def whole_rows(label: FloatArray, activation: str) -> FloatArray:
    """Return the labels that count: for softmax, a row with any NaN is unknown as a whole.

    Args:
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        activation: ``"softmax"`` or ``"sigmoid"``.
    """
    if activation != "softmax":
        return label
    return np.where(np.isnan(label).any(axis=1, keepdims=True), np.nan, label)


def _check_shapes(who: str, prob: FloatArray, label: FloatArray) -> None:
    if prob.shape != label.shape or prob.ndim not in (1, 2):
        raise ValueError(
            f"{who}: `prob` and `label` must have the same shape, (N,) or (N, C), got "
            f"{prob.shape} and {label.shape}. Stack the batches along the images."
        )
