# SPDX-License-Identifier: Apache-2.0
"""Limits of scores and differences from their errors.

Where a part of a score has no error, see :mod:`monai_kd.metrics.parts`, what has one reaches as far
as Student's quantile says, the rest as far as its exact limits; the two are put together as the
sides of a right angle.

Source: Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
Medicine 27, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from monai_kd.metrics.interval import Difference, Interval

__all__ = [
    "NO_ERROR",
    "Reach",
    "difference_interval",
    "logit_interval",
    "mover",
    "student_p",
    "student_quantile",
    "wilson_interval",
]

Reach = Callable[[float], tuple[float, float]]
"""Takes a level, gives how far what has no error reaches below and above."""
NO_ERROR = 1e-12
"""A standard error that is nothing but rounding."""


def logit_interval(
    value: float, error: float, df: float, *, cases: int, level: float = 0.95
) -> Interval:
    """Return the interval of a score in [0, 1], symmetric on the logit scale.

    Args:
        value: the score.
        error: its standard error; NaN gives NaN limits.
        df: degrees of freedom of the error; infinite for the normal quantile.
        cases: independent cases. Where the error is 0, the limits are those of a share of so many:
            at exactly 0 or 1 the exact binomial one, between them Wilson's.
        level: share of intervals that hold the truth, in (0, 1).
    """
    if math.isnan(value) or math.isnan(error):
        return Interval(value, math.nan, math.nan)
    if value <= 0 or value >= 1:
        bound = ((1 - level) / 2) ** (1 / max(cases, 1))
        return Interval(value, bound, 1.0) if value >= 1 else Interval(value, 0.0, 1 - bound)
    if error <= NO_ERROR:
        return wilson_interval(value, max(cases, 1), level=level)
    step = student_quantile(level, df) * error / (value * (1 - value))
    center = math.log(value / (1 - value))
    return Interval(value, _sigmoid(center - step), _sigmoid(center + step))


def wilson_interval(
    share: float, trials: float, *, df: float = math.inf, level: float = 0.95
) -> Interval:
    """Return Wilson's interval of a share.

    Args:
        share: in [0, 1].
        trials: how many independent trials it is of, above 0; need not be whole.
        df: degrees of freedom that the number of independent trials is known with; infinite when
            it was counted.
        level: share of intervals that hold the truth, in (0, 1).
    """
    square = student_quantile(level, df) ** 2
    center = (share + square / (2 * trials)) / (1 + square / trials)
    half = math.sqrt(square * share * (1 - share) / trials + (square / (2 * trials)) ** 2)
    half /= 1 + square / trials
    low = 0.0 if share == 0 else center - half
    return Interval(share, low, 1.0 if share == 1 else center + half)


def student_quantile(level: float, df: float) -> float:
    """Return how many standard errors an interval reaches to either side.

    Args:
        level: share of intervals that hold the truth, in (0, 1).
        df: degrees of freedom; infinite for the normal quantile.

    Raises:
        ValueError: if ``level`` is not in (0, 1).

    Example:
        >>> round(student_quantile(0.95, math.inf), 4), round(student_quantile(0.95, 4), 4)
        (1.96, 2.7764)
    """
    from scipy.special import ndtri, stdtrit

    if not 0 < level < 1:
        raise ValueError(
            f"interval: `level` must be in (0, 1), got {level}. Give 0.95 for 95% intervals."
        )
    tail = (1 + level) / 2
    return float(ndtri(tail) if math.isinf(df) else stdtrit(df, tail))


def student_p(value: float, error: float, df: float) -> float:
    """Return the two-sided p-value of a value that is 0 in truth.

    Args:
        value: what was found.
        error: its standard error; 0 gives 1 if nothing was found, else 0.
        df: degrees of freedom of the error.
    """
    from scipy.special import ndtr, stdtr

    if math.isnan(value) or math.isnan(error):
        return math.nan
    if error == 0:
        return 1.0 if value == 0 else 0.0
    far = -abs(value) / error
    return float(2 * (ndtr(far) if math.isinf(df) else stdtr(df, far)))


def mover(value: float, error: float, df: float, *, reach: Reach, level: float = 0.95) -> Interval:
    """Return the interval of a score in [0, 1] of which a part may have no error.

    Args:
        value: the score.
        error: standard error of what has one; NaN gives NaN limits.
        df: degrees of freedom of the error.
        reach: takes a level, gives how far the rest reaches below and above.
        level: share of intervals that hold the truth, in (0, 1).
    """
    below, above = reach(level)
    if math.isnan(value) or math.isnan(error):
        return Interval(value, math.nan, math.nan)
    if error > NO_ERROR and 0 < value < 1:
        _, low, high = logit_interval(value, error, df, cases=1, level=level)
        if not below and not above:
            return Interval(value, low, high)
        below, above = math.hypot(below, value - low), math.hypot(above, high - value)
    return Interval(value, max(value - below, 0.0), min(value + above, 1.0))


def difference_interval(
    value: float, error: float, df: float, *, reach: Reach | None = None, level: float = 0.95
) -> Difference:
    """Return the interval of a difference, and the two-sided p-value of no difference.

    Args:
        value: the difference.
        error: its standard error; NaN gives NaN limits.
        df: degrees of freedom of the error.
        reach: takes a level, gives how far that of the difference which has no error (scores at
            the end of their scale) reaches below and above; None: all of it is in ``error``.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Difference and limits; the p-value is one less the level whose limit is 0, whatever
        ``level`` is.
    """
    beyond = reach or (lambda level: (0.0, 0.0))

    def at(level: float) -> tuple[float, float]:
        step = student_quantile(level, df) * error
        below, above = beyond(level)
        return math.hypot(step, below), math.hypot(step, above)

    below, above = at(level)
    still = not any(beyond(level))
    if still or math.isnan(value) or math.isnan(error):
        p_value = student_p(value, error, df)
    else:
        p_value = _p_value(abs(value), lambda level: at(level)[value < 0])
    return Difference(value, value - below, value + above, p_value)


def _p_value(distance: float, step: Callable[[float], float]) -> float:
    """One less the level at which the limit is as far away as 0 is."""
    low, high = -36.0, 0.0  # logarithm of the p-value
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if step(-math.expm1(middle)) > distance else (low, middle)
    return math.exp(high) if high < -1e-9 else 1.0


def _sigmoid(value: float) -> float:
    return 0.5 * (1 + math.tanh(value / 2))
