# SPDX-License-Identifier: Apache-2.0
"""Patient-clustered bootstrap, exact and without sorting again: a resample is a count per patient.

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

from monai_kd.metrics.interval import Difference, Interval

__all__ = [
    "bootstrap",
    "bootstrap_difference",
    "bootstrap_interval",
    "bootstrap_share",
    "patient_numbers",
]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

_BLOCK = 1 << 17  # counts drawn at once: they stay in the cache


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


def bootstrap_interval(
    estimate: float, values: FloatArray, *, patients: int, level: float = 0.95
) -> Interval:
    """Return the interval of a share, symmetric on the logit scale, so inside [0, 1].

    Args:
        estimate: the statistic of the data as it is, in (0, 1).
        values: the statistic of the resamples, ``(R,)``; NaN where a resample has none.
        patients: number of patients that were drawn; below 2 the limits are NaN.
        level: share of intervals that hold the truth, in (0, 1).
    """
    error, t = _error_and_t(values, patients, level)
    if math.isnan(error):
        return Interval(estimate, math.nan, math.nan)
    center = math.log(estimate / (1 - estimate))
    reach = t * error / (estimate * (1 - estimate))
    return Interval(estimate, _sigmoid(center - reach), _sigmoid(center + reach))


def bootstrap_share(
    statistic: Callable[[IntArray], FloatArray],
    patients: int,
    *,
    cases: int,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a share of something, in [0, 1], with the limits of :func:`bootstrap_interval`.

    At exactly 0 or 1, which resampling does not change, the limit is the exact binomial one.

    Args:
        statistic: see :func:`bootstrap`; NaN where there is nothing to take a share of.
        patients: number of patients that are drawn.
        cases: number of patients of the smaller class, for the binomial limit.
        resamples: see :func:`bootstrap`.
        seed: see :func:`bootstrap`.
        level: share of intervals that hold the truth, in (0, 1).
    """
    estimate = float(statistic(np.ones((1, patients), np.int64))[0])
    if estimate in {0.0, 1.0}:
        bound = ((1 - level) / 2) ** (1 / cases)
        return Interval(estimate, bound, 1.0) if estimate else Interval(estimate, 0.0, 1 - bound)
    if math.isnan(estimate):
        return Interval(estimate, estimate, estimate)
    values = bootstrap(statistic, patients, resamples=resamples, seed=seed)
    return bootstrap_interval(estimate, values, patients=patients, level=level)


def bootstrap_difference(
    estimate: float, values: FloatArray, *, patients: int, level: float = 0.95
) -> Difference:
    """Return a difference with its symmetric interval and its two-sided p-value.

    Args:
        estimate: the difference in the data as it is.
        values: the difference in the resamples, ``(R,)``.
        patients: see :func:`bootstrap_interval`.
        level: see :func:`bootstrap_interval`.
    """
    from scipy.special import stdtr

    error, t = _error_and_t(values, patients, level)
    if math.isnan(error):
        return Difference(estimate, math.nan, math.nan, math.nan)
    low, high = estimate - t * error, estimate + t * error
    if not error:  # the models differ by the same in every resample
        return Difference(estimate, low, high, 1.0 if estimate == 0 else 0.0)
    p_value = 2 * float(stdtr(patients - 1, -abs(estimate) / error))
    return Difference(estimate, low, high, p_value)


def patient_numbers(patient_id: Sequence[object] | None, images: int) -> tuple[IntArray, int]:
    """Return the number of each image's patient, ``(images,)``, and the number of patients.

    Args:
        patient_id: who each image belongs to, or None: every image is a patient.
        images: number of images.

    Raises:
        ValueError: if there is not one id per image.
    """
    if patient_id is None:
        return np.arange(images), images
    if len(patient_id) != images:
        raise ValueError(
            f"patient_numbers: `patient_id` must have one entry per image, {images}, got "
            f"{len(patient_id)}. Give the ids in the order of the images."
        )
    names, number = np.unique([str(patient) for patient in patient_id], return_inverse=True)
    return np.asarray(number, np.int64), len(names)


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


def _error_and_t(values: FloatArray, patients: int, level: float) -> tuple[float, float]:
    """Standard error of the resamples, corrected for few patients, and how many of it to go."""
    from scipy.special import stdtrit

    known = values[~np.isnan(values)]
    if patients < 2 or len(known) < 2:
        return math.nan, math.nan
    error = float(known.std(ddof=1)) * math.sqrt(patients / (patients - 1))
    return error, float(stdtrit(patients - 1, (1 + level) / 2))


def _sigmoid(value: float) -> float:
    return 0.5 * (1 + math.tanh(value / 2))
