# SPDX-License-Identifier: Apache-2.0
"""AUROC with the bootstrap's interval, over patients: the check on the closed forms of DeLong.

100,000 images and 1,000 resamples take seconds, for nothing is sorted again; the limits are
those of :func:`monai_kd.metrics.auroc_interval` where both are good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.bootstrap import (
    Statistic,
    bootstrap_gain,
    bootstrap_share,
    patient_numbers,
)
from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.weighted_auroc import Cases, weighted_auroc

__all__ = ["bootstrap_auroc", "bootstrap_auroc_difference"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def bootstrap_auroc(
    prob: ArrayLike,
    label: ArrayLike,
    *,
    patient_id: Sequence[object] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the AUROC, the mean over findings if there are several, with its interval.

    Args:
        prob: probabilities, ``(N,)`` or ``(N, C)``.
        label: 1, 0, or NaN for unknown, shape of ``prob``.
        patient_id: who each image belongs to; patients are drawn. None: images are.
        resamples: number of resamples.
        seed: of the resamples.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Estimate and limits. Findings without both classes are left out of the mean; all NaN when
        none is left. A resample counts the findings of which it has both classes. The limits are
        NaN where a class is one patient; see :func:`monai_kd.metrics.bootstrap.bootstrap_share`
        for an AUROC that resampling does not change.

    Raises:
        ValueError: if shapes do not fit, a score is NaN, or a setting is out of range.

    Example:
        >>> bootstrap_auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).estimate
        0.75
    """
    score, truth = _checked("bootstrap_auroc", prob, label)
    patient, patients = patient_numbers(patient_id, len(score))
    statistic, few = _mean_auroc(score, truth, patient, patients)
    if not few:
        return Interval(math.nan, math.nan, math.nan)
    settings = {"resamples": resamples, "seed": seed}
    return bootstrap_share(statistic, patients, few=few, level=level, **settings)


def bootstrap_auroc_difference(
    prob: ArrayLike,
    other_prob: ArrayLike,
    label: ArrayLike,
    *,
    patient_id: Sequence[object] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Return AUROC of ``prob`` minus AUROC of ``other_prob``, both on the same resamples.

    Args:
        prob: probabilities of the one model, ``(N,)`` or ``(N, C)``.
        other_prob: probabilities of the other, same shape, same order of images.
        label: 1, 0, or NaN for unknown, same shape.
        patient_id: see :func:`bootstrap_auroc`.
        resamples: see :func:`bootstrap_auroc`.
        seed: see :func:`bootstrap_auroc`.
        level: see :func:`bootstrap_auroc`.

    Returns:
        Difference, limits and p-value; NaN when no finding has both classes, the limits alone
        where a class is one patient.

    Raises:
        ValueError: if shapes do not fit, a score is NaN, or a setting is out of range.
    """
    score, truth = _checked("bootstrap_auroc_difference", prob, label)
    other, _ = _checked("bootstrap_auroc_difference", other_prob, label)
    patient, patients = patient_numbers(patient_id, len(score))
    ours, few = _mean_auroc(score, truth, patient, patients)
    theirs, _ = _mean_auroc(other, truth, patient, patients)
    if not few:
        return Difference(math.nan, math.nan, math.nan, math.nan)
    return bootstrap_gain(
        ours, theirs, patients, few=few, resamples=resamples, seed=seed, level=level
    )


def _mean_auroc(
    score: FloatArray, truth: FloatArray, patient: IntArray, patients: int
) -> tuple[Statistic, list[IntArray]]:
    """The mean over findings as a function of counts; patients of the smaller class of each."""
    columns, few = [], []
    for column in range(score.shape[1]):
        classes = [truth[:, column] == value for value in (1, 0)]
        if all(rows.any() for rows in classes):
            high, low = (Cases(score[rows, column], patient[rows]) for rows in classes)
            columns.append(weighted_auroc(high, low))
            few.append(min((np.unique(one.patient) for one in (high, low)), key=len))
    if len(columns) == 1:
        return columns[0], few
    whole = np.array([column(np.ones((1, patients), np.int64))[0] for column in columns])

    def mean(count: IntArray) -> FloatArray:
        # Of the findings that a resample has; how each moves, not which of them are there.
        away = np.stack([column(count) for column in columns], axis=1) - whole
        known = ~np.isnan(away)
        total, number = np.where(known, away, 0.0).sum(axis=1), known.sum(axis=1)
        moved = np.full(len(count), math.nan)
        np.divide(total, number, out=moved, where=number > 0)
        return np.asarray(whole.mean() + moved)

    return mean, few


def _checked(who: str, prob: ArrayLike, label: ArrayLike) -> tuple[FloatArray, FloatArray]:
    score, truth = np.asarray(prob, np.float64), np.asarray(label, np.float64)
    if score.shape != truth.shape or score.ndim not in {1, 2} or not score.size:
        raise ValueError(
            f"{who}: `prob` and `label` must both be (N,) or (N, C) with at least one image, got "
            f"{score.shape} and {truth.shape}. Stack the batches along the images."
        )
    bad = int(np.isnan(score).sum())
    if bad:
        raise ValueError(
            f"{who}: `prob` must hold numbers, got {bad} that are NaN. A NaN means that the "
            "training has diverged."
        )
    return score.reshape(len(score), -1), truth.reshape(len(score), -1)
