# SPDX-License-Identifier: Apache-2.0
"""Patient-clustered bootstrap, exact and without sorting again: a resample is a count per patient.

What resampling cannot see is mended from the class of patients that is smaller, for it alone
decides how sure a share can be. Each of its patients is left out once: how much and how unevenly
they move the score gives the degrees of freedom of Student's t (Satterthwaite's). Where none of
them moves it, the resamples are alike for want of cases, not for certainty, and Wilson's limits for
so many cases stand instead. One patient has no limits.

Sources: Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69, 2007 (images of one
patient are drawn together); Hesterberg, "What teachers should know about the bootstrap", The
American Statistician 69, 2015 (few patients make a bootstrap too narrow: Student's t and the factor
of n / (n - 1) mend it). Limits are the standard error of the resamples on the logit scale, not
their percentiles, which hold an AUROC of 0.86 in 91% of data sets of 50 images instead of in 95%,
even when widened as Hesterberg does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.apart import reach_apart
from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.uncertainty import (
    difference_interval,
    logit_interval,
    patient_index,
    spread,
    student_quantile,
)

__all__ = ["Statistic", "bootstrap", "bootstrap_gain", "bootstrap_share", "patient_numbers"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Statistic = Callable[[IntArray], FloatArray]
"""Takes how often each patient counts, ``(R, patients)``; returns one value of each row, ``(R,)``,
NaN where a row has none."""

_BLOCK = 1 << 17  # counts drawn at once: they stay in the cache
_LEFT_OUT = 500  # patients of a class; of more, Student's t is the normal one
_NOTHING = 1e-12  # differences of this size are rounding


def bootstrap(
    statistic: Callable[[IntArray], FloatArray],
    patients: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> FloatArray:
    """Return a statistic of many resamples of the patients, drawn with replacement.

    The result depends on ``seed`` alone, not on the number of threads.

    Args:
        statistic: takes how often each patient was drawn, ``(R, patients)``, and returns one
            value, or one row, per resample, ``(R, ...)``; is called by several threads.
        patients: number of patients, at least 1.
        resamples: number of resamples, at least 1.
        seed: of the draws.

    Returns:
        The values, ``(resamples, ...)``.

    Raises:
        ValueError: if a number is below 1.
    """
    for name, value in (("patients", patients), ("resamples", resamples)):
        if value < 1:
            raise ValueError(
                f"bootstrap: `{name}` must be at least 1, got {value}. "
                "1000 resamples give limits that hardly move with the seed."
            )
    parts = list(_parts(patients, resamples, seed))

    def one(part: tuple[np.random.SeedSequence, int]) -> FloatArray:
        return statistic(_draw(part, patients))

    threads = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, 8)
    if threads == 1 or len(parts) < 2 * threads:
        return np.concatenate([one(part) for part in parts])
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(one, parts)))


def bootstrap_share(
    statistic: Statistic,
    patients: int,
    *,
    few: Sequence[IntArray],
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a share of something, in [0, 1], with limits that are symmetric on the logit scale.

    Args:
        statistic: see :data:`Statistic`; NaN where there is nothing to take a share of.
        patients: number of patients that are drawn.
        few: numbers of the patients of the smaller class, one array for each part that the share
            is a mean of.
        resamples: see :func:`bootstrap`.
        seed: see :func:`bootstrap`.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Estimate and limits. At exactly 0 or 1, which resampling does not change, the limit is the
        exact binomial one; where no patient of the smaller class moves the share, Wilson's; NaN
        where that class is one patient.

    Raises:
        ValueError: if ``resamples`` or ``level`` is out of range.
    """
    estimate = _whole(statistic, patients)
    cases = min(len(part) for part in few)
    student_quantile(level, 1)  # refuses a level that is none
    if math.isnan(estimate) or estimate in {0.0, 1.0}:
        return logit_interval(estimate, 0.0, 1, cases=cases, level=level)
    if cases < 2:
        return Interval(estimate, math.nan, math.nan)
    error, df, moved = _error(statistic, patients, few, resamples, seed)
    return logit_interval(estimate, error if moved else 0.0, df, cases=cases, level=level)


def bootstrap_gain(
    ours: Statistic,
    theirs: Statistic,
    patients: int,
    *,
    few: Sequence[IntArray],
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Return one share minus another, both on the same resamples, and its two-sided p-value.

    Args:
        ours: of the one model, see :data:`Statistic`.
        theirs: of the other, on the same patients.
        patients: number of patients that are drawn.
        few: see :func:`bootstrap_share`.
        resamples: see :func:`bootstrap`.
        seed: see :func:`bootstrap`.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Difference, limits and p-value. Where no patient of the smaller class moves the difference,
        its limits are put together from the binomial ones of the two shares; NaN where that class
        is one patient.

    Raises:
        ValueError: if ``resamples`` or ``level`` is out of range.
    """

    def gain(count: IntArray) -> FloatArray:
        return ours(count) - theirs(count)

    shares = _whole(ours, patients), _whole(theirs, patients)
    estimate, cases = shares[0] - shares[1], min(len(part) for part in few)
    student_quantile(level, 1)  # refuses a level that is none
    if math.isnan(estimate) or cases < 2:
        return Difference(estimate, math.nan, math.nan, math.nan)
    error, df, moved = _error(gain, patients, few, resamples, seed)
    reach = None if moved or abs(estimate) <= _NOTHING else reach_apart(*shares, cases)
    return difference_interval(estimate, error, df, reach=reach, level=level)


def patient_numbers(patient_id: Sequence[object] | None, images: int) -> tuple[IntArray, int]:
    """Return the number of each image's patient, ``(images,)``, and the number of patients.

    Args:
        patient_id: who each image belongs to, or None: every image is a patient.
        images: number of images.

    Raises:
        ValueError: if there is not one id per image.
    """
    number = np.asarray(patient_index(patient_id, images), np.int64)
    return number, int(number.max(initial=-1)) + 1


def _parts(
    patients: int, resamples: int, seed: int
) -> Iterator[tuple[np.random.SeedSequence, int]]:
    """Seed and size of the blocks in which the resamples are drawn."""
    rows = max(1, _BLOCK // patients)
    count = -(-resamples // rows)
    for number, child in enumerate(np.random.SeedSequence(seed).spawn(count)):
        yield child, min(rows, resamples - number * rows)


def _draw(part: tuple[np.random.SeedSequence, int], patients: int) -> IntArray:
    """How often each patient is drawn, ``(rows, patients)``."""
    seed, rows = part
    drawn = np.random.Generator(np.random.SFC64(seed)).integers(0, patients, (rows, patients))
    drawn += np.arange(0, rows * patients, patients)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * patients)
    return np.asarray(counts.reshape(rows, patients), np.int64)


def _whole(statistic: Statistic, patients: int) -> float:
    """The statistic of the data as it is."""
    return float(statistic(np.ones((1, patients), np.int64))[0])


def _error(
    statistic: Statistic, patients: int, few: Sequence[IntArray], resamples: int, seed: int
) -> tuple[float, float, bool]:
    """Standard error, its degrees of freedom, and whether the smaller class moves the statistic."""
    values = bootstrap(statistic, patients, resamples=resamples, seed=seed)
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return math.nan, 1.0, True
    error = float(known.std(ddof=1)) * math.sqrt(patients / (patients - 1))
    error = error if error > _NOTHING else 0.0
    chosen = np.unique(np.concatenate(few))
    if len(chosen) > _LEFT_OUT:
        return error, len(chosen) - 1.0, error > 0
    away = _without_each(statistic, patients, chosen) - _whole(statistic, patients)
    away[np.isnan(away) | (np.abs(away) < _NOTHING)] = 0.0
    moved = bool(error > 0 and away.any())
    part, df = spread(away, np.arange(len(away)))
    share = min(part / error, 1.0) ** 2 if moved else 1.0  # of the variance; the rest has many
    return error, 1 / (share**2 / df + (1 - share) ** 2 / (patients - 1)), moved


def _without_each(statistic: Statistic, patients: int, chosen: IntArray) -> FloatArray:
    """The statistic without each of the chosen patients."""
    rows = max(1, _BLOCK // patients)
    parts = []
    for start in range(0, len(chosen), rows):
        some = chosen[start : start + rows]
        count = np.ones((len(some), patients), np.int64)
        count[np.arange(len(some)), some] = 0
        parts.append(statistic(count))
    return np.concatenate(parts)
