# SPDX-License-Identifier: Apache-2.0
"""Detections as COCO's results file holds them, which pycocotools and others read.

Source: the results format of Lin et al., "Microsoft COCO: common objects in context", ECCV 2014,
https://cocodataset.org/#format-results
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["coco_results"]


def coco_results(
    image_id: ArrayLike, score: ArrayLike, box: ArrayLike, category_id: ArrayLike
) -> list[dict[str, Any]]:
    """Return one entry per detection, ready for ``json.dump``.

    Args:
        image_id: number of each detection's image in the COCO file, ``(M,)``.
        score: ``(M,)``, finite.
        box: ``x_min, y_min, x_max, y_max`` in pixels of the stored image, maxima exclusive,
            ``(M, 4)``.
        category_id: the finding's place among the findings, counted from 1, ``(M,)``.

    Returns:
        ``image_id``, ``category_id``, ``bbox``: ``[x_min, y_min, width, height]``, and ``score``.

    Raises:
        ValueError: if the arrays are not as many, a number is not finite, a box has its minimum
            above its maximum, or a category is below 1.

    Example:
        >>> coco_results([7], [0.5], [[2, 3, 10, 5]], [1])
        [{'image_id': 7, 'category_id': 1, 'bbox': [2.0, 3.0, 8.0, 2.0], 'score': 0.5}]
    """
    image, category = (np.asarray(part, np.int64).reshape(-1) for part in (image_id, category_id))
    scores = np.asarray(score, np.float64).reshape(-1)
    boxes = np.asarray(box, np.float64).reshape(-1, 4)
    if not len(image) == len(scores) == len(boxes) == len(category):
        raise ValueError(
            "coco_results: `image_id`, `score`, `box` and `category_id` must be as many, got "
            f"{len(image)}, {len(scores)}, {len(boxes)} and {len(category)}. Repeat the image's "
            "number for each box."
        )
    size = boxes[:, 2:] - boxes[:, :2]
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all() and (size >= 0).all()):
        raise ValueError(
            "coco_results: `score` and `box` must be finite, and a box (x_min, y_min, x_max, "
            "y_max), got another. Give corners, not a corner and a size."
        )
    if (category < 1).any():
        raise ValueError(
            f"coco_results: `category_id` must be at least 1, got {category.min()}. COCO counts "
            "categories from 1."
        )
    places = np.concatenate([boxes[:, :2], size], axis=1).tolist()
    columns = zip(image.tolist(), category.tolist(), places, scores.tolist(), strict=True)
    keys = ("image_id", "category_id", "bbox", "score")
    return [dict(zip(keys, values, strict=True)) for values in columns]
