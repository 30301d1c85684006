# SPDX-License-Identifier: Apache-2.0
"""The order from the highest score to the lowest, mostly by counting instead of by comparison.

NumPy sorts 16-bit numbers by counting, in linear time. Two such passes over the upper 32 bits of
the scores leave an order that is almost right, which a merge sort finishes in about linear time:
half the time of ``np.argsort``, a quarter of its stable kind. A non-negative float's bits, read as
an integer, are in the order of the float (IEEE 754).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["descending"]


def descending(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order from the highest score to the lowest, ties as they stand.

    Args:
        score: without NaN, ``(M,)``.

    Example:
        >>> descending(np.array([0.5, -2.0, 0.9, 0.5])).tolist()
        [2, 0, 3, 1]
    """
    values = np.asarray(score, np.float64)
    # The bits of a negative float rise as it falls, as wanted; those of the others are turned.
    bits = (values + 0.0).view(np.int64)  # + 0.0: -0.0 becomes 0.0
    key = (np.where(bits < 0, bits, bits ^ 0x7FFFFFFFFFFFFFFF) >> 32).view(np.uint64)
    order = np.argsort(key.astype(np.uint16), kind="stable")
    order = order[np.argsort((key >> np.uint64(16)).astype(np.uint16)[order], kind="stable")]
    return order[np.argsort(-values[order], kind="stable")]
