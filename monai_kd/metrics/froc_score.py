# SPDX-License-Identifier: Apache-2.0
"""The FROC score, mean recall at stated false positives per image, with its interval.

Source: Ehteshami Bejnordi et al., "Diagnostic assessment of deep learning algorithms for detection
of lymph node metastases", JAMA 318, 2017 (CAMELYON16; there at 0.25 to 8 per slide). That a
resample is a count per patient, so that nothing is sorted again, is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.bootstrap import (
    Statistic,
    bootstrap_gain,
    bootstrap_share,
    patient_numbers,
)
from monai_kd.metrics.froc import FROC_RATES, check_same_images
from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.matching import Candidates
from monai_kd.metrics.ranking import descending
from monai_kd.metrics.weighted_auroc import running_sum

__all__ = ["froc_difference", "froc_score", "weighted_froc_score"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def froc_score(
    candidates: Candidates,
    *,
    rates: Sequence[float] = FROC_RATES,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the mean recall at stated false positives per image, with its confidence interval.

    The interval is the bootstrap's, over patients. Where all or no lesions are found at every
    rate it is the exact binomial limit for as many cases as patients have lesions.

    Args:
        candidates: matched to the lesions.
        rates: false positives per image, at least 0; one of them gives the recall there.
        resamples: number of resamples.
        seed: of the resamples.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Estimate and limits; all NaN when there is no lesion.

    Raises:
        ValueError: if there is no image, or a rate is negative.
    """
    patient, patients = _patients("froc_score", candidates, rates)
    statistic = weighted_froc_score(candidates, patient, rates)
    few = [np.unique(patient[candidates.lesions > 0])]
    settings = {"resamples": resamples, "seed": seed}
    return bootstrap_share(statistic, patients, few=few, level=level, **settings)


def froc_difference(
    candidates: Candidates,
    other: Candidates,
    *,
    rates: Sequence[float] = FROC_RATES,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Return the FROC score of ``candidates`` minus that of ``other`` on the same images.

    Both are resampled together, so that what is hard for both models does not widen the interval.

    Args:
        candidates: of the one model, matched to the lesions.
        other: of the other, on the same images in the same order.
        rates: see :func:`froc_score`.
        resamples: see :func:`froc_score`.
        seed: see :func:`froc_score`.
        level: see :func:`froc_score`.

    Returns:
        Difference, limits and p-value; NaN when there is no lesion.

    Raises:
        ValueError: if the images are not the same, there is none, or a rate is negative.
    """
    check_same_images("froc_difference", candidates, other)
    patient, patients = _patients("froc_difference", candidates, rates)
    ours = weighted_froc_score(candidates, patient, rates)
    theirs = weighted_froc_score(other, patient, rates)
    few = [np.unique(patient[candidates.lesions > 0])]
    return bootstrap_gain(
        ours, theirs, patients, few=few, resamples=resamples, seed=seed, level=level
    )


def weighted_froc_score(
    candidates: Candidates, patient: IntArray, rates: Sequence[float]
) -> Statistic:
    """Return the FROC score as a function of how often each patient counts.

    False positives stand in order of their score. The first that exceeds the rate sets the
    threshold; the hits above it are counted. Only as many as the largest rate can need are summed.

    Args:
        candidates: matched to the lesions.
        patient: number of each image's patient, ``(N,)``.
        rates: false positives per image.

    Returns:
        A function of counts, ``(R, patients)``, with ``(R,)`` values; NaN without a lesion.
    """
    images = np.bincount(patient, minlength=int(patient.max()) + 1)
    lesions = np.bincount(patient, candidates.lesions, minlength=len(images)).astype(np.int64)
    who = patient[candidates.image]
    fp, hit = (
        _by_score(candidates.score, who, chosen)
        for chosen in (candidates.false_positive, candidates.hit)
    )
    above = np.append(np.searchsorted(-hit[0], -fp[0], side="left"), len(hit[0]))
    enough = math.ceil(1.2 * max(rates) * candidates.images) + 100

    def score(count: IntArray) -> FloatArray:
        limit = np.floor(np.outer(count @ images, rates) * (1 + 1e-12)).astype(np.int64)
        position = _exceeds(count, fp[1][:enough], limit)
        if enough < len(fp[1]) and (position == enough).any():
            position = _exceeds(count, fp[1], limit)
        hits = running_sum(count, hit[1][: above[position].max()])
        found = hits[np.arange(len(count))[:, None], above[position]].mean(axis=1)
        total = count @ lesions
        share = np.full(len(count), math.nan)
        return np.asarray(np.divide(found, total, out=share, where=total > 0))

    return score


def _by_score(
    score: FloatArray, who: IntArray, chosen: NDArray[np.bool_]
) -> tuple[FloatArray, IntArray]:
    order = descending(score[chosen])
    return score[chosen][order], who[chosen][order]


def _exceeds(count: IntArray, who: IntArray, limit: IntArray) -> IntArray:
    """Number of entries of ``who`` whose counts sum up to at most ``limit``, ``(R, K)``."""
    if len(count) == 1:
        total = np.cumsum(np.take(count[0], who))
        return np.asarray(np.searchsorted(total, limit, side="right"))
    rows = np.arange(len(count))[:, None]
    total = np.cumsum(
        np.take(count, who, axis=1)
    )  # on through all rows, so that one search serves them all
    before = np.append(0, total)[rows * len(who)]
    position = np.searchsorted(total, before + limit, side="right") - rows * len(who)
    return np.asarray(np.minimum(position, len(who)))


def _patients(who: str, candidates: Candidates, rates: Sequence[float]) -> tuple[IntArray, int]:
    if not candidates.images:
        raise ValueError(
            f"{who}: `candidates` must be of at least one image, got none. Was the section empty?"
        )
    if not len(rates) or min(rates) < 0:
        raise ValueError(
            f"{who}: `rates` must be at least one number that is not negative, got {list(rates)}. "
            "They are false positives per image."
        )
    return patient_numbers(candidates.patient_id, candidates.images)
