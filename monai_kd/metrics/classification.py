# SPDX-License-Identifier: Apache-2.0
"""One summary of a classifier: every number of the evaluation, unknown labels left out.

A number that the data cannot give (a class is absent, every label is unknown) is None, not NaN:
the summary is JSON, and a NaN would become the best epoch for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.interval import json_limits, json_number
from monai_kd.metrics.score_intervals import score_interval
from monai_kd.metrics.uncertainty import patient_index
from monai_kd.utils import check_choice

__all__ = ["classification_summary"]

FloatArray = NDArray[np.float64]
_WHO = "classification_summary"


def classification_summary(
    prob: Any,
    label: Any,
    *,
    findings: Sequence[str],
    activation: str,
    patient_id: Sequence[object] | None = None,
) -> dict[str, Any]:
    """Return how good the probabilities are, ready for ``json.dump``.

    Args:
        prob: probabilities in [0, 1], ``(N, C)``, tensor or array; rows sum to 1 for softmax.
        label: 1, 0, or NaN for unknown, ``(N, C)``. For softmax a row with any NaN is left out,
            for sigmoid each NaN alone.
        findings: names of the C findings.
        activation: ``"softmax"`` (exactly one finding per image) or ``"sigmoid"`` (each on its
            own, decided at 0.5).
        patient_id: who each image belongs to; widens the intervals as needed when patients have
            several images.

    Returns:
        ``n`` images with a known label, ``patients`` (or None); ``auroc``, ``auprc``,
        ``positives``, ``negatives``, each by finding; ``macro_auroc``, ``macro_auprc``,
        ``accuracy``, ``balanced_accuracy``, ``macro_f1``, each of these scores also with ``_ci``,
        its 95% interval ``[low, high]``, see :func:`score_interval`; ``cross_entropy``;
        ``confusion_matrix`` (softmax: C x C, rows are the truth; sigmoid: by finding
        ``[[tn, fp], [fn, tp]]``); ``findings``, ``activation``.

    Raises:
        ValueError: if shapes differ, nothing is there, or a value is not a probability or label.

    Example:
        >>> one = classification_summary([[0.9], [0.2]], [[1], [0]], findings=["opacity"],
        ...                              activation="sigmoid")
        >>> one["macro_auroc"], one["confusion_matrix"]
        (1.0, {'opacity': [[1, 0], [0, 1]]})
    """
    check_choice(_WHO, "activation", activation, ("softmax", "sigmoid"))
    probs, truth = _checked(prob, label, list(findings), patient_id)
    if activation == "softmax":
        whole = np.asarray(~np.isnan(truth).any(axis=1))
        truth = np.where(whole[:, None], truth, np.nan)
        _check_exclusive(probs[whole], truth[whole])
    known = np.asarray(~np.isnan(truth).all(axis=1))
    probs, truth = probs[known], truth[known]
    patient = patient_index(patient_id, len(known))[known]
    return {
        "findings": list(findings),
        "activation": activation,
        "n": len(probs),
        "patients": None if patient_id is None else len(np.unique(patient)),
        **_by_finding(probs, truth, list(findings), patient),
        **_over_findings(probs, truth, activation, patient),
        **(_softmax_part(probs, truth) if activation == "softmax" else {}),
        **(_sigmoid_part(probs, truth, list(findings)) if activation == "sigmoid" else {}),
    }


def _by_finding(
    probs: FloatArray, truth: FloatArray, findings: list[str], patient: NDArray[Any]
) -> dict[str, Any]:
    part: dict[str, Any] = {}
    for key in ("auroc", "auprc"):
        each = {
            name: score_interval(
                f"macro_{key}", probs[:, c], truth[:, c], activation="sigmoid", patient_id=patient
            )
            for c, name in enumerate(findings)
        }
        part[key] = {name: json_number(interval.estimate) for name, interval in each.items()}
        part[f"{key}_ci"] = {name: json_limits(interval) for name, interval in each.items()}
    for key, value in (("positives", 1), ("negatives", 0)):
        part[key] = {name: int((truth[:, c] == value).sum()) for c, name in enumerate(findings)}
    return part


def _over_findings(
    probs: FloatArray, truth: FloatArray, activation: str, patient: NDArray[Any]
) -> dict[str, Any]:
    part: dict[str, Any] = {}
    for key in ("macro_auroc", "macro_auprc", "accuracy", "balanced_accuracy", "macro_f1"):
        interval = score_interval(key, probs, truth, activation=activation, patient_id=patient)
        part[key], part[f"{key}_ci"] = json_number(interval.estimate), json_limits(interval)
    return part


def _softmax_part(probs: FloatArray, truth: FloatArray) -> dict[str, Any]:
    count = probs.shape[1]
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (truth.argmax(axis=1), probs.argmax(axis=1)), 1)
    true_prob = (probs * truth).sum(axis=1)
    return {
        "cross_entropy": _mean(-np.log(_clip(true_prob))),
        "confusion_matrix": matrix.tolist(),
    }


def _sigmoid_part(probs: FloatArray, truth: FloatArray, findings: list[str]) -> dict[str, Any]:
    decided = probs >= 0.5
    matrices = {
        name: [
            [int(((truth[:, c] == t) & (decided[:, c] == d)).sum()) for d in (0, 1)] for t in (0, 1)
        ]
        for c, name in enumerate(findings)
    }
    entropy = -np.where(truth == 1, np.log(_clip(probs)), np.log(_clip(1 - probs)))
    return {
        "cross_entropy": _mean(entropy[~np.isnan(truth)]),
        "confusion_matrix": matrices,
    }


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _clip(probs: FloatArray) -> FloatArray:
    return np.clip(probs, np.finfo(np.float64).eps, 1)


def _checked(
    prob: Any, label: Any, findings: list[str], patient_id: Sequence[object] | None
) -> tuple[FloatArray, FloatArray]:
    probs, truth = _array(prob), _array(label)
    if probs.shape != truth.shape or probs.ndim != 2 or probs.shape[1] != len(findings):
        raise ValueError(
            f"{_WHO}: `prob` and `label` must both be (N, {len(findings)}), one column per "
            f"finding, got {probs.shape} and {truth.shape}. Stack the batches along the images."
        )
    if not len(probs):
        raise ValueError(
            f"{_WHO}: `prob` must hold at least one image, got none. Was the section empty?"
        )
    if not ((probs >= 0) & (probs <= 1)).all():
        bad = int((~((probs >= 0) & (probs <= 1))).sum())
        raise ValueError(
            f"{_WHO}: `prob` must be in [0, 1], got {bad} values that are NaN or outside. "
            "Apply the activation to the logits; a NaN means that training has diverged."
        )
    if not (np.isnan(truth) | (truth == 0) | (truth == 1)).all():
        raise ValueError(
            f"{_WHO}: `label` must be 0, 1, or NaN for unknown, got other values. "
            "Class numbers must be made one-hot."
        )
    if patient_id is not None and len(patient_id) != len(probs):
        raise ValueError(
            f"{_WHO}: `patient_id` must have one entry per image, {len(probs)}, got "
            f"{len(patient_id)}. Collect it from the same batches."
        )
    return probs, truth


def _check_exclusive(probs: FloatArray, truth: FloatArray) -> None:
    if (truth.sum(axis=1) != 1).any():
        raise ValueError(
            f"{_WHO}: `label` must have exactly one 1 per image for softmax, got "
            f"{int((truth.sum(axis=1) != 1).sum())} images with none or several. "
            "Use `activation='sigmoid'` for findings that may stand together."
        )
    if (np.abs(probs.sum(axis=1) - 1) > 0.02).any():
        raise ValueError(
            f"{_WHO}: rows of `prob` must sum to 1 for softmax, got sums between "
            f"{probs.sum(axis=1).min():.3f} and {probs.sum(axis=1).max():.3f}. "
            "Apply softmax over the findings."
        )


def _array(values: Any) -> FloatArray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, np.float64)
