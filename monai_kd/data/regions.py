# SPDX-License-Identifier: Apache-2.0
"""What an expert drew: boxes, polygons, points and mask files become arrays here, nowhere else.

A region is a mapping with one of ``box``, ``polygon``, ``point`` or ``mask``, and ``finding`` (a
name, or null when it holds for every finding). Coordinates are pixels of the stored image: x counts
columns, y counts rows, the origin is the top left corner of the top left pixel, maxima are
exclusive. A point stands for the disk round it; without a ``radius`` that has 50/1024 of the
image's longer side.

One rule for boxes, polygons and disks: **a pixel belongs to a region as soon as the region covers
any of its area**. A box drawn round a marked pixel therefore still holds it, and a hairline polygon
does not vanish.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from monai_kd.data.mask_files import read_mask_file
from monai_kd.utils import MonaiKDError, did_you_mean

__all__ = ["Region", "RegionError", "region_kind", "regions_to_mask"]

Region: TypeAlias = Mapping[str, Any]
BoolMask: TypeAlias = npt.NDArray[np.bool_]

_KINDS = ("box", "polygon", "point", "mask")
_RADIUS = 50 / 1024  # of a point, as a share of the longer side of its image


class RegionError(MonaiKDError):
    """A region that cannot be drawn into its image."""


def regions_to_mask(
    regions: Sequence[Region] | None, findings: Sequence[str], spatial_size: Sequence[int]
) -> npt.NDArray[np.uint8]:
    """Paint regions into one channel per finding; the only place where x, y become axes.

    Args:
        regions: regions of one image, see the module's text; null and empty both give zeros (the
            caller keeps them apart: null means nobody drew, empty means nothing was found).
        findings: names of the C findings, in the order of ``label``.
        spatial_size: ``(H, W)`` of the image, rows first.

    Returns:
        Mask of 0 and 1, uint8, ``(C, H, W)``. A region whose finding is null fills all channels.

    Raises:
        RegionError: if a region lies wholly outside the image, or a point does, has no area, names
            an unknown finding, or is a mask file of another size or one that marks nothing.

    Example:
        >>> regions_to_mask([{"box": [1, 0, 3, 2], "finding": None}], ["opacity"], (2, 3))
        array([[[0, 1, 1],
                [0, 1, 1]]], dtype=uint8)
    """
    shape = (int(spatial_size[0]), int(spatial_size[1]))
    mask = np.zeros((len(findings), *shape), dtype=np.uint8)
    for number, region in enumerate(regions or []):
        try:
            _paint(mask[_channels(region, findings)], region)
        except MonaiKDError as error:
            raise RegionError(f"regions_to_mask: region {number}: {error}") from None
    return mask


def region_kind(region: Region) -> str:
    """Return how a region was drawn: ``box``, ``polygon``, ``point`` or ``mask``.

    Args:
        region: one region.

    Raises:
        RegionError: if it is none of them, or several at once.
    """
    kinds = [kind for kind in _KINDS if region.get(kind) is not None]
    if len(kinds) != 1:
        raise RegionError(
            f"a region must have exactly one of {', '.join(_KINDS)}, "
            f"got {', '.join(kinds) or 'none'}. Write several drawings as several regions."
        )
    return kinds[0]


def _channels(region: Region, findings: Sequence[str]) -> slice | int:
    finding = region.get("finding")
    if finding is None:
        return slice(None)
    if finding not in findings:
        raise RegionError(
            f"`finding` must be null or one of {', '.join(findings)}, got {finding!r}."
            f"{did_you_mean(str(finding), findings)}"
        )
    return list(findings).index(finding)


def _paint(channels: npt.NDArray[np.uint8], region: Region) -> None:
    """Mark a region in ``(..., H, W)``; only the window that it fills is touched."""
    kind = region_kind(region)
    shape: tuple[int, int] = channels.shape[-2:]
    if kind == "mask":
        channels |= _mask_of_file(region["mask"], shape)
        return
    points = _outline(region, kind, shape)
    (x_min, y_min), (x_max, y_max) = points.min(axis=0), points.max(axis=0)
    _check_place(kind, (x_min, y_min, x_max, y_max), shape)
    top, left = max(math.floor(y_min), 0), max(math.floor(x_min), 0)
    window = channels[..., top : math.ceil(y_max), left : math.ceil(x_max)]
    if kind == "box":  # every pixel that it touches: minima rounded down, maxima rounded up
        window[...] = 1
        return
    paint = _disk_mask if kind == "point" else _polygon_mask
    inside = paint(points - (left, top), window.shape[-2:])
    if not inside.any():
        raise RegionError(f"the {kind} must lie in the image, got one that passes beside it.")
    window |= inside


def _outline(region: Region, kind: str, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return points x, y that a region extends to: corners, or two of the square round a disk."""
    if kind == "box":
        return _corners(region["box"])
    return _points(region["polygon"]) if kind == "polygon" else _square(region, shape)


def _check_place(
    kind: str, extent: tuple[float, float, float, float], shape: tuple[int, int]
) -> None:
    x_min, y_min, x_max, y_max = extent
    if x_max <= x_min or y_max <= y_min:
        raise RegionError(
            f"the {kind} must have an area, got x {x_min:g} to {x_max:g} and y {y_min:g} to "
            f"{y_max:g}. Boxes are x_min, y_min, x_max, y_max with exclusive maxima."
        )
    if x_max <= 0 or y_max <= 0 or x_min >= shape[1] or y_min >= shape[0]:
        raise _outside(kind, f"(x {x_min:g} to {x_max:g}, y {y_min:g} to {y_max:g})", shape)


def _outside(kind: str, where: str, shape: tuple[int, int]) -> RegionError:
    return RegionError(
        f"the {kind} {where} must lie in the image, got an image of {shape[1]} columns (x) and "
        f"{shape[0]} rows (y). Was it drawn on a picture of another size, or are x and y exchanged?"
    )


def _mask_of_file(path: Any, shape: tuple[int, int]) -> BoolMask:
    mask = read_mask_file(Path(path))
    if mask.shape != shape:
        raise RegionError(
            f"the mask file must have the size of the image, {shape[0]} rows x {shape[1]} "
            f"columns, got {mask.shape[0]} rows x {mask.shape[1]} columns. Draw it on the image "
            "as it is stored."
        )
    if not mask.any():
        raise RegionError(
            "the mask file must mark something, got only zeros. Write an empty list of regions if "
            "nothing was found."
        )
    return mask


def _corners(box: Any) -> npt.NDArray[np.float64]:
    corners = _numbers(box, "box")
    if corners.size != 4:
        raise RegionError(f"`box` must be x_min, y_min, x_max, y_max, got {corners.size} numbers.")
    if (corners[:2] >= corners[2:]).any():
        raise RegionError(
            "`box` must have x_min < x_max and y_min < y_max, got "
            f"{', '.join(f'{value:g}' for value in corners)}. COCO's x, y, width, height are "
            "converted only when the box is read from a COCO or CSV file."
        )
    return corners.reshape(2, 2)


def _points(polygon: Any) -> npt.NDArray[np.float64]:
    points = _numbers(polygon, "polygon")
    if points.size < 6 or points.size % 2:
        raise RegionError(
            f"`polygon` must be at least 3 points [x, y], got {points.size} numbers in all."
        )
    return points.reshape(-1, 2)


def _square(region: Region, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return two opposite corners of the square round a point's disk."""
    center = _numbers(region["point"], "point")
    given = region.get("radius")
    radius = _numbers(_RADIUS * max(shape) if given is None else given, "radius")
    if center.size != 2:
        raise RegionError(f"`point` must be x, y, got {center.size} numbers.")
    if radius.size != 1 or radius[0] <= 0:
        raise RegionError("`radius` must be one number above 0, in pixels, or null, got another.")
    x, y = center
    if not (0 <= x <= shape[1] and 0 <= y <= shape[0]):
        raise _outside("point", f"(x {x:g}, y {y:g})", shape)
    return np.stack([center - radius, center + radius])


def _numbers(values: Any, what: str) -> npt.NDArray[np.float64]:
    try:
        numbers = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise RegionError(f"`{what}` must be numbers, got something else.") from None
    if not np.isfinite(numbers).all():
        raise RegionError(f"`{what}` must be finite numbers, got NaN or infinity.")
    return numbers


def _disk_mask(square: npt.NDArray[np.float64], shape: tuple[int, int]) -> BoolMask:
    """Every pixel that the disk in the square touches: its nearest point is within the radius."""
    (x, y), radius = square.mean(axis=0), (square[1, 0] - square[0, 0]) / 2
    rows, columns = (
        np.maximum(np.maximum(start - center, center - start - 1), 0)
        for start, center in ((np.arange(shape[0]), y), (np.arange(shape[1]), x))
    )
    mask: BoolMask = columns**2 < (radius**2 - rows**2)[:, None]
    return mask


def _polygon_mask(points: npt.NDArray[np.float64], shape: tuple[int, int]) -> BoolMask:
    """Every pixel that the polygon touches; even-odd where it crosses itself.

    A pixel that no edge passes through is wholly in or out, so its center decides; a pixel that an
    edge passes through has some of the polygon on one side of the edge.
    """
    ends = np.roll(points, -1, axis=0)
    mask = np.zeros(shape, dtype=bool)
    _fill_centers(mask, points, ends)
    for (x_0, y_0), (x_1, y_1) in zip(points, ends, strict=True):
        _touch_edge(mask, (x_0, y_0), (x_1, y_1))
    return mask


def _fill_centers(
    mask: BoolMask, starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]
) -> None:
    """Mark pixels whose center is inside, row by row."""
    (x_0, y_0), (x_1, y_1) = starts.T, ends.T
    first = max(math.floor(y_0.min()), 0)
    last = min(math.ceil(y_0.max()), mask.shape[0])
    for row in range(first, last):
        y = row + 0.5
        crossing = (y_0 <= y) != (y_1 <= y)
        share = (y - y_0[crossing]) / (y_1[crossing] - y_0[crossing])
        x = np.sort(x_0[crossing] + share * (x_1[crossing] - x_0[crossing]))
        inside = np.clip(np.ceil(x - 0.5), 0, mask.shape[1]).astype(int)
        for start, stop in zip(inside[::2], inside[1::2], strict=True):
            mask[row, start:stop] = True


def _touch_edge(mask: BoolMask, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Mark pixels whose interior the edge passes through."""
    (x_0, y_0), (x_1, y_1) = sorted([start, end], key=lambda point: point[1])
    slope = (x_1 - x_0) / (y_1 - y_0) if y_1 > y_0 else 0.0
    first, last = math.floor(y_0), math.ceil(y_1)
    for row in range(max(first, 0), min(last, mask.shape[0])):
        upper, lower = max(y_0, row), min(y_1, row + 1)
        x = (x_0, x_1) if y_1 == y_0 else (x_0 + slope * (upper - y_0), x_0 + slope * (lower - y_0))
        left, right = round(min(x), 9), round(max(x), 9)  # a corner missed by 1e-16 is met
        mask[row, max(math.floor(left), 0) : max(math.ceil(right), 0)] = True
