# SPDX-License-Identifier: Apache-2.0
"""An estimate and how sure one may be of it: what every metric of this room returns."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Difference", "Interval", "json_limits", "json_number"]


class Interval(NamedTuple):
    """An estimate between its confidence limits; NaN where the data cannot say."""

    estimate: float
    low: float
    high: float


class Difference(NamedTuple):
    """A difference between its confidence limits, and the p-value of no difference."""

    estimate: float
    low: float
    high: float
    p_value: float

    @property
    def verdict(self) -> str:
        """``"gain shown"``, ``"loss shown"``, or ``"not shown"`` where the interval holds 0."""
        if math.isnan(self.low) or self.low <= 0 <= self.high:
            return "not shown"
        return "gain shown" if self.low > 0 else "loss shown"


def json_number(value: float) -> float | None:
    """Return a number for JSON: None where the data cannot say.

    Args:
        value: a number, or NaN.
    """
    return None if math.isnan(value) else float(value)


def json_limits(interval: Interval | Difference) -> list[float] | None:
    """Return ``[low, high]`` for JSON, or None where the data cannot say.

    Args:
        interval: its estimate is not used.
    """
    low, high = float(interval.low), float(interval.high)
    return None if math.isnan(low) or math.isnan(high) else [low, high]
