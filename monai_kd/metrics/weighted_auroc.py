# SPDX-License-Identifier: Apache-2.0
"""The AUROC, or any share of pairs won, as a function of how often each patient counts.

Scores are sorted once. After that the AUROC of a resample is a running sum over the negatives, read
off where each positive stands: exact, linear, and ties count half.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cases", "running_sum", "weighted_auroc"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class Cases(NamedTuple):
    """Scores of one class: the score, the number of its patient, and its weight, ``(K,)`` each."""

    score: FloatArray
    patient: IntArray
    weight: FloatArray | None = None


def weighted_auroc(positive: Cases, negative: Cases) -> Callable[[IntArray], FloatArray]:
    """Return the function that gives the share of pairs which the positive wins.

    Args:
        positive: cases that should score high; their weights multiply the counts.
        negative: cases that should score low; all of weight 1.

    Returns:
        A function of counts, ``(R, patients)``, with ``(R,)`` values; NaN where a class has none.
    """
    order = np.argsort(negative.score)
    low, who_low = negative.score[order], negative.patient[order]
    order = np.argsort(positive.score)
    high, who_high = positive.score[order], positive.patient[order]
    weight = None if positive.weight is None else positive.weight[order]
    below = np.searchsorted(low, high, side="left")
    up_to = np.searchsorted(low, high, side="right")
    tied = bool((below != up_to).any())

    def auroc(count: IntArray) -> FloatArray:
        total = running_sum(count, who_low)
        times = np.take(count, who_high, axis=1)
        wins = 2 * np.take(total, below, axis=1)
        if tied:
            wins = np.take(total, below, axis=1) + np.take(total, up_to, axis=1)
        weighted = times if weight is None else times * weight
        pairs = total[:, -1] * weighted.sum(axis=1)
        won = np.einsum("rk,rk->r", weighted, wins)
        share = np.full(len(count), math.nan)
        return np.asarray(np.divide(won, 2 * pairs, out=share, where=pairs > 0))

    return auroc


def running_sum(count: IntArray, who: IntArray) -> IntArray:
    """Return the counts of the first 0, 1, ... K patients of a list, ``(R, K + 1)``.

    Args:
        count: how often each patient counts, ``(R, patients)``.
        who: numbers of patients, ``(K,)``.
    """
    total = np.zeros((len(count), len(who) + 1), np.int64)
    np.cumsum(np.take(count, who, axis=1), axis=1, out=total[:, 1:])
    return total
