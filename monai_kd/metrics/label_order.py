# SPDX-License-Identifier: Apache-2.0
"""Do a model's answers fit the labels at all, or in another order? Then labels may be mixed up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from monai_kd.metrics.delong import auroc_and_influence
from monai_kd.metrics.interval import Interval

__all__ = ["LabelOrder", "best_label_order", "label_hints"]

_GAIN = 0.1  # AUROC that another order must gain
_LEAST = 0.7  # AUROC that it must reach


class LabelOrder(NamedTuple):
    """For each probability column the number of its label column, and mean AUROCs.

    Args:
        column: C numbers, each once.
        auroc: in this order; NaN when no finding could be moved.
        auroc_as_is: of the same findings in the order as given.
    """

    column: list[int]
    auroc: float
    auroc_as_is: float


def best_label_order(prob: ArrayLike, label: ArrayLike, *, cases: int = 10) -> LabelOrder:
    """Return which label column fits each probability column best, each used once.

    Args:
        prob: probabilities, ``(N, C)``.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        cases: a finding with fewer positives or negatives stays where it is: among many findings
            with few cases some order always fits better, by chance.

    Example:
        >>> best_label_order([[0.9, 0.1], [0.2, 0.7]], [[0, 1], [1, 0]], cases=1)
        LabelOrder(column=[1, 0], auroc=1.0, auroc_as_is=0.0)
    """
    from scipy.optimize import linear_sum_assignment

    score, truth = np.asarray(prob, np.float64), np.asarray(label, np.float64)
    order = list(range(score.shape[1]))
    least = np.minimum((truth == 1).sum(0), (truth == 0).sum(0))
    used = [c for c in order if least[c] >= cases]
    if not used:
        return LabelOrder(order, math.nan, math.nan)
    auroc = np.array(
        [[auroc_and_influence(score[:, p], truth[:, t])[0] for t in used] for p in used]
    )
    rows, columns = linear_sum_assignment(auroc, maximize=True)
    for row, column in zip(rows, columns, strict=True):
        order[used[row]] = used[column]
    return LabelOrder(order, float(auroc[rows, columns].mean()), float(auroc.diagonal().mean()))


def label_hints(
    prob: ArrayLike, label: ArrayLike, *, findings: Sequence[str], auroc: Interval
) -> list[str]:
    """Say in sentences what may be wrong with labels; an empty list when nothing looks wrong.

    Args:
        prob: probabilities, ``(N, C)``.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        findings: names of the C findings.
        auroc: mean AUROC over the findings with its interval.
    """
    hints = []
    if auroc.estimate < 0.5:
        guess = "worse than guessing" if auroc.high < 0.5 else "no better than guessing"
        hints.append(
            f"AUROC {auroc.estimate:.2f} (95% CI {auroc.low:.2f} to {auroc.high:.2f}) is below 0.5,"
            f" {guess}: check that the gray scale is not inverted, and that label columns and "
            "their coding (1 is present) are those of the training."
        )
    order = best_label_order(prob, label)
    if order.auroc > max(_LEAST, order.auroc_as_is + _GAIN):
        pairs = ", ".join(
            f"`{findings[answer]}` fits the labels of `{findings[column]}`"
            for answer, column in enumerate(order.column)
            if answer != column
        )
        hints.append(
            f"In another order of the findings the AUROC is {order.auroc:.2f}, not "
            f"{order.auroc_as_is:.2f} ({pairs}): check the label columns of this datalist."
        )
    return hints
