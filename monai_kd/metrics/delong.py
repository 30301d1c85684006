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
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.parts import Part, few_patients, parts_difference, parts_interval
from monai_kd.metrics.score_arrays import rank_columns
from monai_kd.metrics.uncertainty import Correct, correction, patient_index

__all__ = ["auroc_and_influence", "auroc_difference", "auroc_interval", "auroc_parts"]

FloatArray = NDArray[np.float64]


def auroc_and_influence(
    prob: ArrayLike, label: ArrayLike, *, correct: Correct | None = None
) -> tuple[float, FloatArray]:
    r"""Return the AUROC of one finding, and how far each image moves it.

    With :math:`m` positives, :math:`n` negatives and DeLong's components :math:`V`, a positive
    image has the influence :math:`(V_{10} - A) / m`, a negative one :math:`(V_{01} - A) / n`. The
    sum of their squares, each class corrected by :math:`m / (m - 1)` and :math:`n / (n - 1)`, is
    DeLong's variance.

    Args:
        prob: scores, ``(N,)``; any increasing function of them gives the same.
        label: 1, 0, or NaN for unknown, ``(N,)``.
        correct: from :func:`.correction`; None: DeLong's, every image is a patient.

    Returns:
        The AUROC, ties counted half, NaN when a class is absent; and the influences, ``(N,)``,
        corrected as above, 0 where the label is unknown, NaN when a class has one patient only.

    Raises:
        ValueError: if shapes differ, a score is NaN, or a value is not a label.

    Example:
        >>> auroc_and_influence([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])[0]
        0.75
    """
    score, truth = (part[:, 0] for part in rank_columns("auroc_and_influence", prob, label))
    return _auroc(score, truth, correct or correction(np.arange(len(score))))


def auroc_interval(
    prob: ArrayLike,
    label: ArrayLike,
    *,
    patient_id: Sequence[object] | NDArray[Any] | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the AUROC, the mean over findings if there are several, with its confidence interval.

    The interval is symmetric on the logit scale, so it stays inside [0, 1], and Student's quantile
    makes it wider when there are few patients. For a finding whose AUROC is exactly 0 or 1, where
    DeLong's variance is 0, the exact binomial limit for as many patients as its smaller class has
    stands in, see :mod:`monai_kd.metrics.parts`.

    Args:
        prob: probabilities or other scores, ``(N,)`` or ``(N, C)``.
        label: 1, 0, or NaN for unknown, shape of ``prob``.
        patient_id: who each image belongs to, N of them; images of one patient then count
            together. None: every image is a patient.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Estimate and limits. Findings without both classes are left out of the mean; all NaN when
        none is left. The limits alone are NaN when a class has one patient only.

    Raises:
        ValueError: if shapes differ, a score is NaN, or a value is not a label.
    """
    score, truth = rank_columns("auroc_interval", prob, label)
    who = patient_index(patient_id, len(score))
    parts = auroc_parts(score, truth, correction(who, jackknife=True))
    return parts_interval(parts, who, level=level)


def auroc_difference(
    prob: ArrayLike,
    other_prob: ArrayLike,
    label: ArrayLike,
    *,
    patient_id: Sequence[object] | NDArray[Any] | None = None,
    level: float = 0.95,
) -> Difference:
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
        Difference, limits, and two-sided p-value; NaN when no finding has both classes.

    Raises:
        ValueError: as :func:`auroc_interval`.
    """
    score, truth = rank_columns("auroc_difference", prob, label)
    other, _ = rank_columns("auroc_difference", other_prob, label)
    who = patient_index(patient_id, len(truth))
    correct = correction(who, jackknife=few_patients(truth, who))
    ours = auroc_parts(score, truth, correct)
    theirs = ours if np.array_equal(score, other) else auroc_parts(other, truth, correct)
    return parts_difference(ours, theirs, who, level=level)


def auroc_parts(score: FloatArray, truth: FloatArray, correct: Correct) -> list[Part]:
    """Return the AUROC of each finding.

    Args:
        score: ``(N, C)``.
        truth: 1, 0, or NaN for unknown, ``(N, C)``.
        correct: from :func:`.correction`.
    """
    return [
        Part(*_auroc(one, its, correct), (its == 1, its == 0))
        for one, its in zip(score.T, truth.T, strict=True)
    ]


def _auroc(score: FloatArray, truth: FloatArray, correct: Correct) -> tuple[float, FloatArray]:
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
    influence[positive] = (above - auroc) / m
    influence[negative] = (below - auroc) / n
    return auroc, correct(correct(influence, 1.0 * positive), 1.0 * negative)


def _midranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[index], np.float64)
