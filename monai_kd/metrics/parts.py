# SPDX-License-Identifier: Apache-2.0
"""Scores that are means of parts: classes, findings; and parts that stand still.

Balanced accuracy is the mean of the recalls, macro AUROC that of the findings. A part of which all
patients say the same, such as a recall of 0 of 5, has no influences and so no error, though five
patients prove little. The mean would take it for certain. So its own interval, of as many trials as
it rests on patients, is laid on top: distances to a limit are added as the sides of a right angle
(MOVER), those of several such parts one to the other, since the same images may stand behind them.

Source: Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
Medicine 27, 2008. That only parts without an error are put together in this way, the others by
their influences, is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.limits import difference_interval, mover
from monai_kd.metrics.uncertainty import (
    NO_ERROR,
    Reach,
    logit_interval,
    spread,
)

__all__ = [
    "Part",
    "difference_reach",
    "few_cases",
    "few_patients",
    "mean_of",
    "moved_apart",
    "parts_difference",
    "parts_interval",
    "reach",
]

FloatArray = NDArray[np.float64]
FEW = 10
"""From so many patients of each class on, two models are compared by DeLong's variance."""


class Part(NamedTuple):
    """One of the numbers that a score is the mean of.

    Args:
        value: in [0, 1], NaN when the labels cannot give it.
        influence: how far each image moves it, ``(N,)``, corrected for few patients.
        cases: masks ``(N,)``; it rests on as many cases as the smallest has patients.
        decided: whether it counts decisions, so that two models may agree by chance.
    """

    value: float
    influence: FloatArray
    cases: tuple[NDArray[np.bool_], ...]
    decided: bool = False


def mean_of(parts: Sequence[Part], count: int) -> tuple[float, FloatArray]:
    """Return the mean of the parts that are numbers, and its influences.

    Args:
        parts: of one score.
        count: number of images.
    """
    used = [part for part in parts if not math.isnan(part.value)]
    if not used:
        return math.nan, np.zeros(count)
    if len(used) == 1:
        return used[0].value, used[0].influence
    return (
        float(np.mean([part.value for part in used])),
        np.mean([part.influence for part in used], axis=0),
    )


def parts_interval(parts: Sequence[Part], patient: NDArray[Any], *, level: float) -> Interval:
    """Return the mean of the parts with its interval.

    Args:
        parts: of one score, corrected by the jackknife.
        patient: number of the patient of each image, ``(N,)``.
        level: share of intervals that hold the truth, in (0, 1).
    """
    value, influence = mean_of(parts, len(patient))
    error, df = spread(influence, patient)
    df = few_cases(df, parts, patient)
    return mover(value, error, df, reach=reach(parts, patient), level=level)


def parts_difference(
    ours: Sequence[Part], theirs: Sequence[Part], patient: NDArray[Any], *, level: float
) -> Difference:
    """Return the mean of our parts minus that of theirs, on the same images.

    Args:
        ours: parts of the one model.
        theirs: of the other, in the same order; the same list where it says the same of all
            images: then nothing is left to chance.
        patient: number of the patient of each image, ``(N,)``.
        level: share of intervals that hold the truth, in (0, 1).
    """
    our_value, our_influence = mean_of(ours, len(patient))
    their_value, their_influence = mean_of(theirs, len(patient))
    error, df = spread(our_influence - their_influence, patient)
    df = few_cases(df, moved_apart(ours, theirs), patient)
    beyond = None if theirs is ours else difference_reach(ours, theirs, patient)
    return difference_interval(our_value - their_value, error, df, reach=beyond, level=level)


def few_cases(df: float, parts: Sequence[Part], patient: NDArray[Any]) -> float:
    """Return the degrees of freedom, fewer where the error comes from few cases.

    Nearly all of the error may come from five sick patients among a hundred; then it is as well
    known as a standard deviation of five (Satterthwaite's sum over the classes).

    Args:
        df: what :func:`.spread` gives.
        parts: of one score.
        patient: number of the patient of each image, ``(N,)``.
    """
    classes: dict[bytes, tuple[NDArray[np.bool_], FloatArray]] = {}
    for part in parts:
        for mask in part.cases if not math.isnan(part.value) else ():
            key = mask.tobytes()  # a finding that stands twice brings no further cases
            before = classes[key][1] if key in classes else 0.0
            classes[key] = mask, before + part.influence
    total = weight = 0.0
    for mask, influence in classes.values():
        whose = patient[mask]
        sums = np.bincount(whose, weights=influence[mask])
        variance, cases = float(sums @ sums), np.count_nonzero(np.bincount(whose))
        total += variance
        weight += variance**2 / max(int(cases) - 1, 1)
    return max(min(df, total**2 / weight), 1.0) if weight > 0 else df


def few_patients(truth: FloatArray, patient: NDArray[Any]) -> bool:
    """Return whether a finding that has both classes has fewer than ten patients in one.

    Differences then need the jackknife as well.

    Args:
        truth: 1, 0, or NaN for unknown, ``(N, C)``.
        patient: number of the patient of each image, ``(N,)``.
    """
    counts = [
        [np.count_nonzero(np.bincount(patient[column == value])) for value in (0, 1)]
        for column in truth.T
    ]
    return any(min(pair) < FEW for pair in counts if all(pair))


def moved_apart(ours: Sequence[Part], theirs: Sequence[Part]) -> list[Part]:
    """Return the parts of a difference.

    Args:
        ours: parts of the one model.
        theirs: of the other, in the same order.
    """
    return [
        a._replace(influence=a.influence - b.influence)
        for a, b in zip(ours, theirs, strict=True)
        if not math.isnan(b.value)
    ]


def reach(parts: Sequence[Part], patient: NDArray[Any]) -> Reach:
    """Return how far the parts without an error reach below and above, at a level.

    Args:
        parts: of one score.
        patient: number of the patient of each image, ``(N,)``.
    """
    used = [part for part in parts if not math.isnan(part.value)]
    still = [
        (part.value, _cases(part, patient)) for part in used if _still(part.influence, patient)
    ]
    if not still:
        return _nothing

    def at(level: float) -> tuple[float, float]:
        below = above = 0.0
        for value, cases in still:
            alone = logit_interval(value, 0.0, math.inf, cases=cases, level=level)
            below, above = below + value - alone.low, above + alone.high - value
        return below / max(len(used), 1), above / max(len(used), 1)

    return at


def difference_reach(ours: Sequence[Part], theirs: Sequence[Part], patient: NDArray[Any]) -> Reach:
    """Return how far the parts without an error reach in a difference of two models.

    Where two models decide alike for every image, no more is known than that they seldom differ.

    Args:
        ours: parts of the one model.
        theirs: of the other, in the same order.
        patient: number of the patient of each image, ``(N,)``.
    """
    one, other = reach(ours, patient), reach(theirs, patient)
    alike = [
        _cases(a, patient)
        for a, b in zip(ours, theirs, strict=True)
        if a.decided
        and not math.isnan(a.value)
        and not _still(a.influence, patient)
        and np.array_equal(a.influence, b.influence)
    ]
    count = max(sum(not math.isnan(part.value) for part in ours), 1)

    def at(level: float) -> tuple[float, float]:
        (our_below, our_above), (their_below, their_above) = one(level), other(level)
        differ = sum(
            logit_interval(0.0, 0.0, math.inf, cases=cases, level=level).high for cases in alike
        )
        return (
            math.hypot(our_below, their_above, differ / count),
            math.hypot(our_above, their_below, differ / count),
        )

    return at


def _nothing(_: float) -> tuple[float, float]:
    return 0.0, 0.0


def _still(influence: FloatArray, patient: NDArray[Any]) -> bool:
    sums = np.bincount(patient, weights=influence)
    return bool(sums @ sums <= NO_ERROR**2)  # not so for NaN


def _cases(part: Part, patient: NDArray[Any]) -> int:
    return min((len(np.unique(patient[mask])) for mask in part.cases), default=0)
