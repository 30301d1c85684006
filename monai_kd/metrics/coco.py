# SPDX-License-Identifier: Apache-2.0
"""Average precision of boxes, counted by MONAI's COCO metric.

Source: Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, in the form of
``monai.apps.detection.metrics.coco``; its overlaps from 0.1 to 0.5 suit lesions better than COCO's
0.5 to 0.95 (Baumgartner et al., "nnDetection", MICCAI 2021).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.matching import Candidates
from monai_kd.metrics.overlap import overlap_of_pairs

__all__ = ["average_precision"]


def average_precision(
    candidates: Candidates,
    lesion_image: ArrayLike,
    lesion_box: ArrayLike,
    *,
    overlaps: tuple[float, float, float] = (0.1, 0.5, 0.05),
    max_candidates: int = 100,
) -> float:
    """Return the mean average precision over several overlaps (intersection over union).

    Whatever rule has matched the candidates is not used here: COCO matches anew at each overlap,
    and counts a repeated hit as a false positive.

    Args:
        candidates: their images, scores and boxes.
        lesion_image: number of each lesion's image, ``(L,)``.
        lesion_box: ``x_min, y_min, x_max, y_max`` of the lesions, ``(L, 4)``.
        overlaps: first, last and step, in (0, 1].
        max_candidates: at most so many per image, the best.

    Returns:
        In [0, 1]; NaN when there is no lesion.

    Raises:
        ValueError: if there is not one box per lesion.
    """
    where = np.asarray(lesion_image, np.int64).reshape(-1)
    lesions = np.asarray(lesion_box, np.float64).reshape(-1, 4)
    if len(where) != len(lesions):
        raise ValueError(
            "average_precision: `lesion_image` and `lesion_box` must be as many, got "
            f"{len(where)} and {len(lesions)}. Repeat the image's number for each box."
        )
    if not len(where):
        return math.nan
    from monai.apps.detection.metrics.coco import COCOMetric
    from monai.apps.detection.metrics.matching import matching_batch

    metric = COCOMetric(
        ["lesion"],
        iou_list=overlaps[:1],
        iou_range=overlaps,
        max_detection=(max_candidates,),
        per_class=False,
        verbose=False,
    )
    used = np.union1d(candidates.image, where)  # an image with neither says nothing
    predicted, truth = _split(candidates.image, used), _split(where, used)
    matches = matching_batch(
        iou_fn=_iou,
        iou_thresholds=list(metric.iou_thresholds),
        pred_boxes=[candidates.box[rows] for rows in predicted],
        pred_classes=[np.zeros(len(rows), np.int64) for rows in predicted],
        pred_scores=[candidates.score[rows] for rows in predicted],
        gt_boxes=[lesions[rows] for rows in truth],
        gt_classes=[np.zeros(len(rows), np.int64) for rows in truth],
        max_detections=max_candidates,
    )
    name = f"mAP_IoU_{overlaps[0]:.2f}_{overlaps[1]:.2f}_{overlaps[2]:.2f}_MaxDet_{max_candidates}"
    return float(metric(matches)[0][name])


def _iou(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Overlap of each box with each other one, ``(D, G)``."""
    one, other = np.repeat(boxes, len(others), axis=0), np.tile(others, (len(boxes), 1))
    return overlap_of_pairs(one.T, other.T, "iou").reshape(len(boxes), len(others))


def _split(image: NDArray[np.int64], used: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of each image that is used."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], used[1:]))
