# SPDX-License-Identifier: Apache-2.0
"""A difference of two shares that nothing moves: for want of cases, not because it is certain."""

from __future__ import annotations

import math

from monai_kd.metrics.uncertainty import Reach, logit_interval

__all__ = ["reach_apart"]


def reach_apart(ours: float, theirs: float, cases: int) -> Reach:
    """Return how far the limits of a difference reach when each share has its binomial ones.

    Args:
        ours: the one share, in [0, 1].
        theirs: the other.
        cases: number of patients that each of them rests on.

    Returns:
        A function of the level, with the distances below and above the difference (MOVER, see
        :mod:`monai_kd.metrics.uncertainty`).

    Example:
        >>> below, above = reach_apart(1.0, 0.0, 2)(0.95)
        >>> round(below, 4), above
        (1.1906, 0.0)
    """

    def reach(level: float) -> tuple[float, float]:
        one, other = (
            logit_interval(share, 0.0, 1, cases=cases, level=level) for share in (ours, theirs)
        )
        below = math.hypot(one.estimate - one.low, other.high - other.estimate)
        return below, math.hypot(one.high - one.estimate, other.estimate - other.low)

    return reach
