# SPDX-License-Identifier: Apache-2.0
"""Schedules: pure functions of a count (iterations or epochs, from 0), without state.

A handler asks for the value of the moment, so a resumed run goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Schedule", "constant", "cosine", "linear"]

Schedule = Callable[[int], float]


def constant(value: float) -> Schedule:
    """Return a schedule that always answers ``value``.

    Args:
        value: the answer.
    """
    return lambda count: value


def linear(start: float, end: float, *, steps: int) -> Schedule:
    """Return a schedule that goes in a straight line from ``start`` to ``end``, then stays.

    Args:
        start: value at count 0.
        end: value from count ``steps`` on.
        steps: counts on the way, at least 1.

    Raises:
        ValueError: if ``steps`` is below 1.

    Example:
        >>> [linear(0.5, 0.0, steps=40)(epoch) for epoch in (0, 10, 40, 59)]
        [0.5, 0.375, 0.0, 0.0]
    """
    _check_steps("linear", steps)
    return lambda count: end + (start - end) * max(0.0, 1 - count / steps)


def cosine(
    start: float, end: float, *, steps: int, warm_up: int = 0, periodic: bool = False
) -> Schedule:
    """Return a schedule that follows half a cosine wave from ``start`` to ``end``.

    Args:
        start: value at the top of the wave.
        end: value at its bottom, reached at count ``steps``.
        steps: counts from the start to the bottom, warm-up included, at least 1.
        warm_up: counts that climb in a straight line from 0 to ``start`` first, both ends
            included (so the last of them and the first after them are both ``start``).
        periodic: swing back up after the bottom, as torch's ``CosineAnnealingLR`` does when it is
            stepped further than ``T_max``; otherwise stay at ``end``.

    Raises:
        ValueError: if ``steps`` is below 1.

    Example:
        >>> [round(cosine(1.0, 0.0, steps=4)(epoch), 3) for epoch in range(6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    _check_steps("cosine", steps)

    def value(count: int) -> float:
        if count < warm_up:
            return start * count / max(1, warm_up - 1)
        progress = (count - warm_up) / max(1, steps - warm_up)
        if not periodic:
            progress = min(1.0, progress)
        return end + 0.5 * (start - end) * (1 + math.cos(math.pi * progress))

    return value


def _check_steps(caller: str, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"{caller}: `steps` must be at least 1, got {steps}.")
