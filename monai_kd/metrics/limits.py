# SPDX-License-Identifier: Apache-2.0
"""Limits of scores and differences of which a part has no error of its own, see ``parts``.

What has an error reaches as far as Student's quantile says, the rest as far as its exact limits;
the two are put together as the sides of a right angle.

Source: Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
Medicine 27, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.uncertainty import NO_ERROR, logit_interval, student_p, student_quantile

__all__ = ["Reach", "difference_interval", "mover"]

Reach = Callable[[float], tuple[float, float]]
"""Takes a level, gives how far what has no error reaches below and above."""


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
