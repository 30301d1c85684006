# SPDX-License-Identifier: Apache-2.0
"""AFROC figures of merit: how often a lesion is rated above the worst false positive of an image.

Sources: Chakraborty and Berbaum, "Observer studies involving detection and localization: modeling,
analysis, and validation", Medical Physics 31, 2004 (JAFROC, every lesion the same weight);
Chakraborty and Zhai, "On the meaning of the weighted alternative free-response operating
characteristic figure of merit", Medical Physics 43, 2016 (wAFROC, every image with lesions the same
weight). The forms that end in 1 there take false positives from all images, not from those without
a lesion alone. Unlike FROC the figure is one number without a rate to choose, and unlike AUROC it
does not reward a mark in the wrong place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.bootstrap import (
    Statistic,
    bootstrap_gain,
    bootstrap_share,
    patient_numbers,
)
from monai_kd.metrics.froc import check_same_images
from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.matching import Candidates
from monai_kd.metrics.weighted_auroc import Cases, weighted_auroc
from monai_kd.utils import check_choice

__all__ = ["jafroc", "wafroc", "wafroc_difference"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def wafroc(
    candidates: Candidates,
    *,
    false_positives: str = "normal",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    r"""Return the wAFROC figure of merit with its confidence interval.

    .. math::
        \theta = \frac{1}{K_1 K_2} \sum_{i=1}^{K_1} \sum_{k=1}^{K_2} \frac{1}{L_k}
                 \sum_{l=1}^{L_k} \psi(f_i, h_{kl})

    with :math:`f_i` the highest false positive of image i, :math:`h_{kl}` the score of the
    candidate that hit lesion l of image k, each minus infinity where there is none, and
    :math:`\psi` 1 if the hit is higher, 1/2 if they are equal, else 0.

    Args:
        candidates: matched to the lesions.
        false_positives: ``"normal"``: of images without a lesion; ``"all"``: of every image
            (wAFROC1, for data with few images without a lesion).
        resamples: number of resamples of the patients.
        seed: of the resamples.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Estimate and limits, see :func:`monai_kd.metrics.bootstrap.bootstrap_share`. All NaN when
        there is no lesion, or no image to take false positives from; the limits alone where one
        patient has all lesions or all such images.

    Raises:
        ValueError: if a setting is out of range.
    """
    weight = 1 / np.maximum(candidates.lesions, 1)
    settings = {"resamples": resamples, "seed": seed, "level": level}
    return _figure("wafroc", candidates, weight, false_positives, **settings)


def jafroc(
    candidates: Candidates,
    *,
    false_positives: str = "normal",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the JAFROC figure of merit: as :func:`wafroc`, but every lesion counts the same.

    Args:
        candidates: matched to the lesions.
        false_positives: see :func:`wafroc`; ``"all"`` is JAFROC1.
        resamples: number of resamples of the patients.
        seed: of the resamples.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        See :func:`wafroc`.

    Raises:
        ValueError: if a setting is out of range.
    """
    weight = np.ones(candidates.images)
    settings = {"resamples": resamples, "seed": seed, "level": level}
    return _figure("jafroc", candidates, weight, false_positives, **settings)


def wafroc_difference(
    candidates: Candidates,
    other: Candidates,
    *,
    false_positives: str = "normal",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Return the wAFROC figure of ``candidates`` minus that of ``other`` on the same images.

    Both are resampled together, so that what is hard for both models does not widen the interval.

    Args:
        candidates: of the one model, matched to the lesions.
        other: of the other, on the same images in the same order.
        false_positives: see :func:`wafroc`.
        resamples: see :func:`wafroc`.
        seed: see :func:`wafroc`.
        level: see :func:`wafroc`.

    Returns:
        Difference, limits and p-value; NaN when there is no lesion, or no image to take false
        positives from, the limits alone where one patient has all lesions or all such images.

    Raises:
        ValueError: if the images are not the same, or a setting is out of range.
    """
    check_same_images("wafroc_difference", candidates, other)
    weight = 1 / np.maximum(candidates.lesions, 1)
    ours, few, patients = _resampled("wafroc_difference", candidates, weight, false_positives)
    theirs, _, _ = _resampled("wafroc_difference", other, weight, false_positives)
    if not few:
        return Difference(math.nan, math.nan, math.nan, math.nan)
    return bootstrap_gain(
        ours, theirs, patients, few=few, resamples=resamples, seed=seed, level=level
    )


def _figure(
    who: str, candidates: Candidates, weight: FloatArray, false_positives: str, **settings: Any
) -> Interval:
    statistic, few, patients = _resampled(who, candidates, weight, false_positives)
    if not few:
        return Interval(math.nan, math.nan, math.nan)
    return bootstrap_share(statistic, patients, few=few, **settings)


def _resampled(
    who: str, candidates: Candidates, weight: FloatArray, false_positives: str
) -> tuple[Statistic, list[IntArray], int]:
    """The figure as a function of counts, the patients of the smaller side, and of all.

    The smaller side is empty where a side has nobody.
    """
    check_choice(who, "false_positives", false_positives, ("normal", "all"))
    patient, patients = patient_numbers(candidates.patient_id, candidates.images)
    noise = candidates.lesions == 0 if false_positives == "normal" else candidates.lesions >= 0
    image = np.repeat(np.arange(candidates.images), candidates.lesions)
    hits = Cases(_lesion_scores(candidates), patient[image], weight[image])
    worst = Cases(_worst_false_positive(candidates)[noise], patient[noise])
    few = min((np.unique(one.patient) for one in (hits, worst)), key=len)
    return weighted_auroc(hits, worst), [few] if len(few) else [], patients


def _lesion_scores(candidates: Candidates) -> FloatArray:
    """Score of the candidate that hit each lesion, image by image; minus infinity: missed."""
    first = np.cumsum(candidates.lesions) - candidates.lesions
    score = np.full(int(candidates.lesions.sum()), -math.inf)
    hit = candidates.hit
    score[first[candidates.image[hit]] + candidates.lesion[hit]] = candidates.score[hit]
    return score


def _worst_false_positive(candidates: Candidates) -> FloatArray:
    """Highest false positive of each image; minus infinity: none."""
    worst = np.full(candidates.images, -math.inf)
    false = candidates.false_positive
    np.maximum.at(worst, candidates.image[false], candidates.score[false])
    return worst
