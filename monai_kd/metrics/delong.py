# SPDX-License-Identifier: Apache-2.0
"""AUROC with the uncertainty that a closed form gives: DeLong, also for patients with many images.

Sources: DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver
operating characteristic curves", Biometrics 44, 1988; Sun and Xu, "Fast implementation of DeLong's
algorithm", IEEE Signal Processing Letters 21, 2014 (mid-ranks, O(n log n)); Obuchowski,
"Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997 (several images of one
patient). The mean over findings as one sum of influences, and the interval at exactly 0 or 1, are
ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.interval import Interval

__all__ = ["auroc_and_influence", "auroc_difference", "auroc_interval"]

FloatArray = NDArray[np.float64]


def auroc_and_influence(prob: ArrayLike, label: ArrayLike) -> tuple[float, FloatArray]:
    r"""Return the AUROC of one finding, and how far each image moves it.

    With :math:`m` positives, :math:`n` negatives and DeLong's components :math:`V`, a positive
    image has the influence :math:`(V_{10} - A) / m`, a negative one :math:`(V_{01} - A) / n`. The
    sum of their squares, each class corrected by :math:`m / (m - 1)` and :math:`n / (n - 1)`, is
    DeLong's variance.

    Args:
        prob: scores, ``(N,)``; any increasing function of them gives the same.
        label: 1, 0, or NaN for unknown, ``(N,)``.

    Returns:
        The AUROC, ties counted half, NaN when a class is absent; and the influences, ``(N,)``,
        corrected as above, 0 where the label is unknown, NaN when a class has one image only.

    Example:
        >>> auroc_and_influence([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])[0]
        0.75
    """
    score, truth = np.asarray(prob, np.float64), np.asarray(label, np.float64)
    positive, negative = truth == 1, truth == 0
    m, n = int(positive.sum()), int(negative.sum())
    influence = np.zeros(len(score))
    if not m or not n:
        return math.nan, influence
    known = positive | negative
    rank = np.zeros(len(score))
    rank[known] = _midranks(score[known])
    above = (rank[positive] - _midranks(score[positive])) / n
    below = 1 - (rank[negative] - _midranks(score[negative])) / m
    auroc = float(above.mean())
    influence[positive] = (above - auroc) / m * _correction(m)
    influence[negative] = (below - auroc) / n * _correction(n)
    return auroc, influence


def auroc_interval(
    prob: ArrayLike,
    label: ArrayLike,
    *,
    patient_id: Sequence[object] | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the AUROC, the mean over findings if there are several, with its confidence interval.

    The interval is symmetric on the logit scale, so it stays inside [0, 1]. At an AUROC of exactly
    0 or 1, where DeLong's variance is 0, it is the exact binomial limit for as many cases as the
    smaller class has.

    Args:
        prob: probabilities, ``(N,)`` or ``(N, C)``.
        label: 1, 0, or NaN for unknown, shape of ``prob``.
        patient_id: who each image belongs to, N of them; images of one patient then count
            together. None: every image is a patient.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Estimate and limits. Findings without both classes are left out of the mean; all NaN when
        none is left. The limits alone are NaN when a class has one image only.
    """
    score, truth = _columns(prob), _columns(label)
    auroc, influence, used = _mean_influence(score, truth)
    if not used:
        return Interval(math.nan, math.nan, math.nan)
    z = NormalDist().inv_cdf((1 + level) / 2)
    if auroc in {0.0, 1.0}:
        cases = min(_smaller_class(truth[:, column], patient_id) for column in used)
        bound = ((1 - level) / 2) ** (1 / cases)
        return Interval(auroc, bound, 1.0) if auroc == 1 else Interval(auroc, 0.0, 1 - bound)
    error = _standard_error(influence, patient_id) / (auroc * (1 - auroc))
    center = math.log(auroc / (1 - auroc))
    return Interval(auroc, _sigmoid(center - z * error), _sigmoid(center + z * error))


def auroc_difference(
    prob: ArrayLike,
    other_prob: ArrayLike,
    label: ArrayLike,
    *,
    patient_id: Sequence[object] | None = None,
    level: float = 0.95,
) -> Interval:
    """Return AUROC of ``prob`` minus AUROC of ``other_prob`` on the same images, with its interval.

    Two models that see the same images err on the same images; the paired difference knows that,
    two separate intervals do not.

    Args:
        prob: probabilities of the one model, ``(N,)`` or ``(N, C)``.
        other_prob: probabilities of the other, same shape, same order of images.
        label: 1, 0, or NaN for unknown, same shape.
        patient_id: see :func:`auroc_interval`.
        level: see :func:`auroc_interval`.

    Returns:
        Difference and limits; NaN when no finding has both classes.
    """
    truth = _columns(label)
    ours, our_influence, used = _mean_influence(_columns(prob), truth)
    theirs, their_influence, _ = _mean_influence(_columns(other_prob), truth)
    if not used:
        return Interval(math.nan, math.nan, math.nan)
    z = NormalDist().inv_cdf((1 + level) / 2)
    error = _standard_error(our_influence - their_influence, patient_id)
    return Interval(ours - theirs, ours - theirs - z * error, ours - theirs + z * error)


def _mean_influence(score: FloatArray, truth: FloatArray) -> tuple[float, FloatArray, list[int]]:
    """Mean AUROC over the columns that have both classes, its influences, and these columns."""
    columns = [auroc_and_influence(score[:, c], truth[:, c]) for c in range(score.shape[1])]
    used = [c for c, (auroc, _) in enumerate(columns) if not math.isnan(auroc)]
    if not used:
        return math.nan, np.zeros(len(score)), used
    auroc = float(np.mean([columns[c][0] for c in used]))
    return auroc, np.mean([columns[c][1] for c in used], axis=0), used


def _standard_error(influence: FloatArray, patient_id: Sequence[object] | None) -> float:
    if patient_id is None:
        return math.sqrt(float(np.square(influence).sum()))
    patient = _patient_index(patient_id)
    per_patient = np.bincount(patient, weights=influence)
    # `influence` is corrected for the number of images; the ratio adds what fewer patients cost.
    more = _correction(len(per_patient)) / _correction(len(influence))
    return math.sqrt(float(np.square(per_patient).sum())) * more


def _smaller_class(truth: FloatArray, patient_id: Sequence[object] | None) -> int:
    patient = np.arange(len(truth)) if patient_id is None else _patient_index(patient_id)
    return min(len(np.unique(patient[truth == value])) for value in (0, 1))


def _patient_index(patient_id: Sequence[object]) -> NDArray[Any]:
    return np.unique([str(patient) for patient in patient_id], return_inverse=True)[1]


def _midranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[index], np.float64)


def _correction(count: int) -> float:
    return math.sqrt(count / (count - 1)) if count > 1 else math.nan


def _columns(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array


def _sigmoid(value: float) -> float:
    return 0.5 * (1 + math.tanh(value / 2))
