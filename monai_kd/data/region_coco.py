# SPDX-License-Identifier: Apache-2.0
"""Regions from COCO JSON (object detection and segmentation).

An annotation gives its polygons where it has them, otherwise its box; COCO's ``x, y, width,
height`` becomes ``x_min, y_min, x_max, y_max``. The category's name becomes the finding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_kd.data.region_table import RegionTable
from monai_kd.utils import MonaiKDError

__all__ = ["read_coco_regions"]


def read_coco_regions(path: Path) -> RegionTable:
    """Read a COCO file.

    Args:
        path: JSON with ``images``, ``annotations`` and ``categories``.

    Returns:
        Regions and sizes per ``file_name``; an image without annotations has an empty list.

    Raises:
        MonaiKDError: if the file is not COCO, an annotation points nowhere, or holds run lengths.
    """
    content = _load(path)
    names = {image.get("id"): image.get("file_name") for image in content["images"]}
    findings = {one.get("id"): one.get("name") for one in content.get("categories", [])}
    table = RegionTable()
    for number, image in enumerate(content["images"]):
        name = image.get("file_name")
        if not isinstance(name, str):
            raise _error(f"image {number} must have a `file_name`, got none.")
        table[name] = []
        if image.get("width") and image.get("height"):
            table.sizes[name] = (int(image["height"]), int(image["width"]))
    for number, annotation in enumerate(content["annotations"]):
        if annotation.get("image_id") not in names:
            raise _error(f"annotation {number} must point to a listed image by `image_id`.")
        if annotation.get("category_id") not in findings:
            raise _error(f"annotation {number} must point to a listed category by `category_id`.")
        finding = findings[annotation["category_id"]]
        table[names[annotation["image_id"]]].extend(_regions(annotation, finding, number))
    return table


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _error(f"the file must be JSON, got something else{line}.") from None
    missing = [key for key in ("images", "annotations") if not _is_table(content, key)]
    if missing:
        got = ", ".join(sorted(content)[:10]) if isinstance(content, dict) else "no object"
        raise _error(f"the file must have the lists {' and '.join(missing)}, got {got}.")
    return dict(content)


def _is_table(content: Any, key: str) -> bool:
    rows = content.get(key) if isinstance(content, dict) else None
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)


def _regions(annotation: Mapping[str, Any], finding: Any, number: int) -> list[dict[str, Any]]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict) or annotation.get("iscrowd"):
        raise _error(
            f"annotation {number} must be a box or polygons, got run lengths (RLE). Export it as "
            "polygons, or as one mask PNG per image and name it in the datalist as `mask`."
        )
    if segmentation:
        return [{"polygon": _pairs(ring, number), "finding": finding} for ring in segmentation]
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise _error(f"annotation {number} must have `bbox` [x, y, width, height] or polygons.")
    x, y, width, height = (float(value) for value in box)
    return [{"box": [x, y, x + width, y + height], "finding": finding}]


def _pairs(ring: Any, number: int) -> list[list[float]]:
    if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
        raise _error(f"annotation {number} must have polygons of at least 3 points x, y.")
    return [[float(x), float(y)] for x, y in zip(ring[::2], ring[1::2], strict=True)]


def _error(what: str) -> MonaiKDError:
    return MonaiKDError(f"read_regions: COCO file: {what}")
