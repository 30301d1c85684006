# SPDX-License-Identifier: Apache-2.0
"""The order from the highest score to the lowest, mostly by counting instead of by comparison.

NumPy sorts 16-bit numbers by counting, in linear time. Scores are placed on a scale of 32 bits from
the highest to the lowest, which never turns two of them round (IEEE 754 rounds in order), and two
such passes sort them; scores so near to each other that they fall on one mark are left to a merge
sort, which finishes an order that is almost right in about linear time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["descending"]

_MARKS = 4294967040.0  # of the scale; a little less than 2 ** 32, so that rounding cannot pass it


def descending(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order from the highest score to the lowest, ties as they stand.

    Args:
        score: without NaN, ``(M,)``.

    Example:
        >>> descending(np.array([0.5, -2.0, 0.9, 0.5])).tolist()
        [2, 0, 3, 1]
    """
    values = np.asarray(score, np.float64)
    if not len(values):
        return np.zeros(0, np.int64)
    highest, lowest = float(values.max()), float(values.min())
    marks = _MARKS / (highest - lowest) if highest > lowest else 0.0
    if not 0 < marks < math.inf:  # all alike, or too far or too near for a scale
        return np.argsort(-values, kind="stable")
    key = ((highest - values) * marks).astype(np.uint32)
    order = np.argsort(key.astype(np.uint16), kind="stable")
    order = order[np.argsort((key >> np.uint32(16)).astype(np.uint16).take(order), kind="stable")]
    sorted_values = values.take(order)
    if (sorted_values[1:] > sorted_values[:-1]).any():
        order = order[np.argsort(-sorted_values, kind="stable")]
    return order
