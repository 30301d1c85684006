# SPDX-License-Identifier: Apache-2.0
r"""A proportion and its interval: Wilson's, for as many independent trials as there really are.

With the variance :math:`v` of the share :math:`p`, patients added up first, :math:`p (1 - p) / v`
trials of a coin would be as sure; the ratio of the real number to it is the design effect.
Student's quantile for the number of patients stands for the normal one, since the design effect is
estimated from them. Groups whose trials end apart more often than by chance never count as more
trials than they are.

Sources: Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
the American Statistical Association 22, 1927; Kish, "Survey Sampling", Wiley 1965 (design effect);
Korn and Graubard, "Confidence intervals for proportions with small expected number of positive
counts estimated from survey data", Survey Methodology 24, 1998 (effective number of trials).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.interval import Interval
from monai_kd.metrics.uncertainty import (
    NO_ERROR,
    correction,
    patient_index,
    spread,
    wilson_interval,
)

__all__ = ["proportion_interval", "wilson_interval"]

FloatArray = NDArray[np.float64]


def proportion_interval(
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    group: Sequence[object] | NDArray[Any] | None = None,
    level: float = 0.95,
) -> Interval:
    """Return a share, such as a sensitivity, and its Wilson interval.

    Args:
        successes: how many of the trials of each row succeeded, or whether it did, ``(N,)``; or
            one number. Rows without a trial count nothing.
        trials: how many trials each row is, or whether it is one, same shape.
        group: who each row belongs to, N of them; trials of one then count together. None: every
            trial is a case of its own.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Share and limits; all NaN without a trial. When all trials of several groups end alike,
        each group counts as one.

    Raises:
        ValueError: if the shapes differ or there are more successes than trials.

    Example:
        >>> share, low, high = proportion_interval(8, 10)
        >>> round(low, 4), round(high, 4)
        (0.4902, 0.9433)
    """
    whole = np.atleast_1d(np.asarray(trials, np.float64))
    part = np.atleast_1d(np.asarray(successes, np.float64))
    if part.shape != whole.shape or part.ndim != 1:
        raise ValueError(
            f"proportion_interval: `successes` and `trials` must both be (N,), got {part.shape} "
            f"and {whole.shape}. Give one row per image."
        )
    part = np.where(whole > 0, part, 0.0)
    if not ((part >= 0) & (part <= whole)).all():
        raise ValueError(
            "proportion_interval: `successes` must be between 0 and `trials`, got others. "
            "Count only trials that took place."
        )
    total = float(whole.sum())
    if not total:
        return Interval(math.nan, math.nan, math.nan)
    if group is None:
        return wilson_interval(float(part.sum()) / total, total, level=level)
    return _grouped(part, whole, patient_index(group, len(whole)), level)


def _grouped(part: FloatArray, whole: FloatArray, group: NDArray[Any], level: float) -> Interval:
    group = np.unique(group[whole > 0], return_inverse=True)[1]
    part, whole = part[whole > 0], whole[whole > 0]
    groups, total = int(group.max()) + 1, float(whole.sum())
    share = float(part.sum()) / total
    if groups == total:  # nothing hangs together, nothing to estimate
        return wilson_interval(share, total, level=level)
    if groups == 1:
        return Interval(share, math.nan, math.nan)
    error, _ = spread(correction(group)((part - share * whole) / total, whole), group)
    if not 0 < share < 1 or error <= NO_ERROR:
        return wilson_interval(share, groups, level=level)
    trials = min(share * (1 - share) / error**2, total)  # more than there are is luck
    return wilson_interval(share, trials, df=groups - 1, level=level)
