# SPDX-License-Identifier: Apache-2.0
"""Which pairs of a candidate and a lesion meet, and how well: three rules, many pairs at once.

Most pairs of an image lie apart, so they are dropped axis by axis before anything else is counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MATCHING_RULES", "Pairs", "overlap_of_pairs", "pairs_that_meet"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Pairs = tuple[IntArray, IntArray, FloatArray]

MATCHING_RULES = ("center", "iou", "iobb")
"""The center in the lesion's box; intersection over union; intersection over the own box."""


def pairs_that_meet(
    box: FloatArray, lesion: FloatArray, pairs: tuple[IntArray, IntArray], rule: str, least: float
) -> Pairs:
    """Return the pairs that meet, and how well each does.

    Args:
        box: ``x_min, y_min, x_max, y_max`` of the candidates, maxima exclusive, ``(4, M)``.
        lesion: the same of the lesions, ``(4, L)``.
        pairs: numbers of candidates and of lesions, ``(K,)`` each.
        rule: one of :data:`MATCHING_RULES`.
        least: least overlap, above 0, for ``"iou"`` and ``"iobb"``; for ``"center"`` the pixels
            by which lesions are enlarged on each side.

    Returns:
        The candidates and lesions of the pairs that meet, in the given order, and their overlap,
        or minus the distance of the centers for ``"center"``. Boxes of no area overlap with none.
    """
    if rule == "center":
        return _center(box, lesion, pairs, least)
    candidate, number = pairs
    for low, high in ((0, 2), (1, 3)):
        apart = np.maximum(box[low][candidate], lesion[low][number])
        met = apart < np.minimum(box[high][candidate], lesion[high][number])
        kept = np.flatnonzero(met)  # faster to take by than `met` itself
        candidate, number = candidate[kept], number[kept]
    share = overlap_of_pairs(box[:, candidate], lesion[:, number], rule)
    enough = share >= least
    return candidate[enough], number[enough], share[enough]


def overlap_of_pairs(box: FloatArray, lesion: FloatArray, rule: str) -> FloatArray:
    """Return the overlap of each box with the lesion beside it, ``(K,)``.

    Args:
        box: ``(4, K)``, see :func:`pairs_that_meet`.
        lesion: ``(4, K)``.
        rule: ``"iou"`` or ``"iobb"``.
    """
    width = np.minimum(box[2], lesion[2]) - np.maximum(box[0], lesion[0])
    height = np.minimum(box[3], lesion[3]) - np.maximum(box[1], lesion[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    whole = _area(box) if rule == "iobb" else _area(box) + _area(lesion) - shared
    return np.asarray(np.divide(shared, whole, out=np.zeros(len(shared)), where=whole > 0))


def _center(
    box: FloatArray, lesion: FloatArray, pairs: tuple[IntArray, IntArray], tolerance: float
) -> Pairs:
    candidate, number = pairs
    center = (box[:2] + box[2:]) / 2
    for axis in (0, 1):
        place = center[axis][candidate]
        met = place >= lesion[axis][number] - tolerance
        met &= place < lesion[axis + 2][number] + tolerance
        kept = np.flatnonzero(met)
        candidate, number = candidate[kept], number[kept]
    away = center[:, candidate] - (lesion[:2, number] + lesion[2:, number]) / 2
    return candidate, number, -np.hypot(away[0], away[1])


def _area(box: FloatArray) -> FloatArray:
    return np.asarray((box[2] - box[0]) * (box[3] - box[1]))
