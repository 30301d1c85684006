# SPDX-License-Identifier: Apache-2.0
"""An estimate and how sure one may be of it: what every metric of this room returns."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Difference", "Interval"]


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
