# SPDX-License-Identifier: Apache-2.0
"""A film with boxes on it: candidates solid or dotted, what an expert drew in white."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_kd.transforms import SquarePadGeometry, square_pad_geometry
from monai_kd.utils.box_labels import BoxLabel, draw_labels

__all__ = ["BOX_COLORS", "EXPERT_COLOR", "DrawnBox", "detection_picture", "stored_film"]

BOX_COLORS = ((255, 210, 64), (64, 224, 208), (255, 128, 192), (144, 200, 96), (160, 160, 255))
"""Colors of the findings' candidates, RGB, taken in turn."""

EXPERT_COLOR = (255, 255, 255)
"""Color of what an expert drew."""

_SIDE = 1024  # longest side of a picture
_LINE = 3
_DOT, _GAP = 6, 8
_FONTS = 36  # so many fonts are as wide as the picture: pages show it half as wide as a window
_LEAST_FONT = 18


@dataclass(frozen=True)
class DrawnBox:
    """A box to draw.

    Args:
        box: ``x_min, y_min, x_max, y_max`` in pixels of the stored film, maxima exclusive.
        color: RGB, 0 to 255.
        label: text beside it, "" for none.
        dotted: whether its line is dotted.
    """

    box: tuple[float, float, float, float]
    color: tuple[int, int, int]
    label: str = ""
    dotted: bool = False


def stored_film(image: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a square image as a film of its stored aspect, its longest side 1024 pixels.

    Args:
        image: as :class:`monai_kd.transforms.SquarePadResized` made it, ``(S, S)``, in [0, 1].
        rows: of the stored film.
        columns: of the stored film.

    Returns:
        Gray, ``(H, W)``.
    """
    import cv2

    geometry = square_pad_geometry(rows, columns, spatial_size=image.shape[0])
    height, width = (max(1, round(_SIDE * n / max(rows, columns))) for n in (rows, columns))
    there = _in_square(geometry, columns / width, rows / height)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    gray = np.clip(np.nan_to_num(image), 0, 1).astype(np.float32)
    film = cv2.warpAffine(
        gray, there, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(np.rint(255 * film), np.uint8)


def detection_picture(
    film: NDArray[np.uint8], boxes: Sequence[DrawnBox], *, rows: int, columns: int
) -> NDArray[np.uint8]:
    """Return the film with boxes; each line has a dark rim, so that it is seen on bone and on air.

    Labels stand outside their boxes, on dark plates, and do not cover each other.

    Args:
        film: from :func:`stored_film`, ``(H, W)``.
        boxes: drawn in this order; labels of solid ones choose their places first.
        rows: of the stored film, which the boxes are measured in.
        columns: of the stored film.

    Returns:
        RGB, ``(H, W, 3)``.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(film).convert("RGB")
    pen = ImageDraw.Draw(picture)
    across, down = film.shape[1] / columns, film.shape[0] / rows
    places: list[tuple[float, float, float, float]] = []
    for drawn in boxes:
        x_min, y_min, x_max, y_max = drawn.box
        corners = (x_min * across, y_min * down, x_max * across, y_max * down)
        places.append(corners)
        for start, end in _strokes(corners, dotted=drawn.dotted):
            pen.line([start, end], fill=(0, 0, 0), width=_LINE + 2)
        for start, end in _strokes(corners, dotted=drawn.dotted):
            pen.line([start, end], fill=drawn.color, width=_LINE)
    labeled = sorted(
        (pair for pair in zip(boxes, places, strict=True) if pair[0].label),
        key=lambda pair: pair[0].dotted,
    )
    draw_labels(  # above all lines
        picture,
        [BoxLabel(drawn.label, place, drawn.color) for drawn, place in labeled],
        font_size=max(_LEAST_FONT, film.shape[1] // _FONTS),
        boxes=[place for drawn, place in zip(boxes, places, strict=True) if not drawn.label],
    )
    return np.asarray(picture)


def _in_square(geometry: SquarePadGeometry, across: float, down: float) -> NDArray[np.float64]:
    """The affine map from pixels of the picture to those of the square image, by their middles."""
    left, top = geometry.offset
    steps = geometry.scale * across, geometry.scale * down
    return np.array(
        [
            [steps[0], 0, steps[0] / 2 + geometry.scale * left - 0.5],
            [0, steps[1], steps[1] / 2 + geometry.scale * top - 0.5],
        ]
    )


def _strokes(
    box: tuple[float, float, float, float], *, dotted: bool
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The lines of a box, whole or in pieces."""
    x_min, y_min, x_max, y_max = box
    corners = [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)]
    for (x, y), (to_x, to_y) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = abs(to_x - x) + abs(to_y - y)
        pieces = np.arange(0, max(length, 1), _DOT + _GAP) if dotted else np.zeros(1)
        reach = _DOT if dotted else max(length, 1)
        for begin in pieces / max(length, 1):
            end = min(1.0, begin + reach / max(length, 1))
            yield (
                (x + begin * (to_x - x), y + begin * (to_y - y)),
                (x + end * (to_x - x), y + end * (to_y - y)),
            )
