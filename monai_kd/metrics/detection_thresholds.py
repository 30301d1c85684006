# SPDX-License-Identifier: Apache-2.0
"""Which candidates to show: two thresholds, chosen on validation by their false positives.

The mild one shows candidates that a reader may look at (dotted), the strict one those that are
likely to be right (solid).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monai_kd.metrics.froc import FrocCurve, froc_curve
from monai_kd.metrics.interval import json_number
from monai_kd.metrics.matching import Candidates

__all__ = ["DetectionThresholds", "choose_detection_thresholds"]

_FLOOR = 0.05  # no lower score is taken unless it is that of a hit


@dataclass(frozen=True)
class DetectionThresholds:
    """Two thresholds, and what each reached on the images that it was chosen on.

    A candidate is shown when its score is at least the threshold.

    Args:
        dotted: the mild threshold; NaN where nothing could be chosen.
        solid: the strict threshold, never below ``dotted``.
        dotted_fp: false positives per image at ``dotted``.
        solid_fp: false positives per image at ``solid``.
        dotted_recall: share of the lesions found at ``dotted``; NaN where there were none.
        solid_recall: share of the lesions found at ``solid``.
    """

    dotted: float
    solid: float
    dotted_fp: float
    solid_fp: float
    dotted_recall: float
    solid_recall: float

    def for_json(self) -> dict[str, dict[str, float | None]]:
        """Return ``dotted`` and ``solid``, each with what ``operating_points.json`` holds."""
        return {
            name: {
                "threshold": json_number(getattr(self, name)),
                "fp_per_image": json_number(getattr(self, f"{name}_fp")),
                "recall": json_number(getattr(self, f"{name}_recall")),
            }
            for name in ("dotted", "solid")
        }


def choose_detection_thresholds(
    candidates: Candidates, *, dotted_fp: float = 0.5, solid_fp: float = 0.1
) -> DetectionThresholds:
    """Return, for each rate, the score from which candidates keep to so many false positives.

    It is the lowest score of a hit that keeps to the rate: below it, false positives would be added
    and nothing be found. Where no hit keeps to the rate, as without lesions, it is the lowest score
    of all that does, but at least 0.05: a lower one would mean no more than that few candidates
    were seen. Repeated hits are no false positives. Candidates of equal score are shown together or
    not at all.

    Args:
        candidates: of one finding on the validation images, matched to the lesions.
        dotted_fp: false positives per image that the mild threshold may let through, at least 0.
        solid_fp: the same for the strict threshold, in [0, ``dotted_fp``].

    Returns:
        Scores of candidates; the next number above the best score, and at least 0.05, where even
        that one would be too many or too low, so that nothing is shown; NaN where there is no
        candidate, or no image, to choose from.

    Raises:
        ValueError: if the rates are out of range.

    Example:
        >>> found = Candidates(*map(np.array, ([0, 0, 1], [0.9, 0.7, 0.6])),
        ...                    box=np.zeros((3, 4)), lesion=np.array([0, -1, 0]),
        ...                    lesions=np.array([1, 1]))
        >>> points = choose_detection_thresholds(found)
        >>> points.dotted, points.solid
        (0.6, 0.9)
    """
    if not 0 <= solid_fp <= dotted_fp < math.inf:
        raise ValueError(
            "choose_detection_thresholds: `solid_fp` must be in [0, `dotted_fp`], got "
            f"{solid_fp} and {dotted_fp}. Solid candidates are the fewer ones."
        )
    if not candidates.images or not len(candidates.score):
        fp, recall = (0.0 if candidates.images else math.nan), _recall_of_nothing(candidates)
        return DetectionThresholds(math.nan, math.nan, fp, fp, recall, recall)
    curve = froc_curve(candidates)
    best = float(candidates.score.max())
    (dotted, solid) = (_point(curve, rate, best) for rate in (dotted_fp, solid_fp))
    return DetectionThresholds(
        *(value for pair in zip(dotted, solid, strict=True) for value in pair)
    )


def _point(curve: FrocCurve, rate: float, best: float) -> tuple[float, float, float]:
    """Threshold, false positives per image and recall of the point that is chosen for a rate."""
    index = int(np.searchsorted(curve.fp_per_image, rate, side="right")) - 1
    if curve.recall[index] > 0:
        index = int(np.searchsorted(curve.recall, curve.recall[index]))
    else:
        index = min(index, int((curve.threshold >= _FLOOR).sum()) - 1)
    above = np.nextafter(np.float32(best), np.float32(np.inf))  # also where scores are float32
    threshold = float(curve.threshold[index] if index else max(above, _FLOOR))
    return threshold, float(curve.fp_per_image[index]), float(curve.recall[index])


def _recall_of_nothing(candidates: Candidates) -> float:
    return 0.0 if candidates.lesions.sum() else math.nan
