# SPDX-License-Identifier: Apache-2.0
"""FROC: recall of lesions against false positives per image, exact, by sorting once.

Source: Bunch et al., "A free-response approach to the measurement and characterization of
radiographic-observer performance", J. Appl. Photogr. Eng. 4, 1978.
``monai.metrics.compute_froc_curve_data`` is the same curve without its lowest operating point,
which its loop over the thresholds skips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.matching import REPEATED_HIT, Candidates
from monai_kd.metrics.ranking import descending

__all__ = ["FROC_RATES", "FrocCurve", "check_same_images", "froc_curve", "recall_at"]

FloatArray = NDArray[np.float64]

FROC_RATES = (0.1, 0.2, 0.5, 1.0)
"""False positives per image at which the recall is averaged unless told otherwise."""


class FrocCurve(NamedTuple):
    """Operating points from the strictest threshold to the mildest, K + 1 of each.

    The first is the origin, at a threshold of infinity; then one for each of the K scores.
    """

    fp_per_image: FloatArray
    recall: FloatArray
    threshold: FloatArray


def froc_curve(candidates: Candidates, *, monai_compat: bool = False) -> FrocCurve:
    """Return every operating point.

    Args:
        candidates: matched to the lesions; repeated hits are left out.
        monai_compat: return the arrays of ``monai.metrics.compute_froc_curve_data`` as they are:
            from the mildest threshold to the strictest, and without the mildest of all, which is
            an operating point too unless a lesion is missed.

    Returns:
        The curve; the recall is NaN when there is no lesion.

    Raises:
        ValueError: if there is no image.
    """
    if not candidates.images:
        raise ValueError(
            "froc_curve: `candidates` must be of at least one image, got none. Was the section "
            "empty?"
        )
    total = int(candidates.lesions.sum())
    order = descending(candidates.score)
    score, lesion = candidates.score.take(order), candidates.lesion.take(order)
    counted = lesion != REPEATED_HIT
    if not counted.all():
        score, lesion = score[counted], lesion[counted]
    hits = np.zeros(len(score) + 1, np.int64)
    np.cumsum(lesion >= 0, out=hits[1:])
    false = np.arange(len(hits)) - hits
    threshold = np.append(math.inf, score)
    if (score[1:] == score[:-1]).any():  # a threshold takes all of its score, or none
        last = np.append(np.flatnonzero(threshold[1:] != threshold[:-1]), len(score))
        hits, false, threshold = hits[last], false[last], threshold[last]
    recall = hits / total if total else np.full(len(hits), math.nan)
    curve = FrocCurve(false / candidates.images, recall, threshold)
    return _as_monai(curve, bool(total and hits[-1] == total)) if monai_compat else curve


def recall_at(curve: FrocCurve, rates: Sequence[float] = FROC_RATES) -> FloatArray:
    """Return the recall that is reached with at most so many false positives per image.

    No interpolation: each recall belongs to a threshold that can be set.

    Args:
        curve: from :func:`froc_curve`, not of ``monai_compat``.
        rates: false positives per image, at least 0, ``(K,)``.

    Example:
        >>> curve = FrocCurve(*np.array([[0, 0, 0.5], [0, 0.5, 1], [np.inf, 0.9, 0.2]]))
        >>> recall_at(curve, [0.1, 0.5]).tolist()
        [0.5, 1.0]
    """
    index = np.searchsorted(curve.fp_per_image, np.asarray(rates, np.float64), side="right") - 1
    return np.asarray(curve.recall[index])


def check_same_images(who: str, candidates: Candidates, other: Candidates) -> None:
    """Refuse two models that were not judged on the same images.

    Args:
        who: what the user called; begins the message.
        candidates: of the one model.
        other: of the other.

    Raises:
        ValueError: if the lesions of an image differ.
    """
    if not np.array_equal(candidates.lesions, other.lesions):
        raise ValueError(
            f"{who}: both models must be judged on the same images and lesions, got "
            f"{candidates.images} images with {candidates.lesions.sum()} lesions and "
            f"{other.images} with {other.lesions.sum()}. Bring both into one order first."
        )


def _as_monai(curve: FrocCurve, all_hit: bool) -> FrocCurve:
    """MONAI's arrays; a missed lesion has score 0 there, the lowest threshold, which it skips."""
    skipped = len(curve.threshold) > 1 and (all_hit or curve.threshold[-1] == 0)
    return FrocCurve(*(column[::-1][int(skipped) :] for column in curve))
