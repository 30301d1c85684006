# SPDX-License-Identifier: Apache-2.0
"""Draw boxes, names and scores on a film, and a line below it that says what this is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from monai_kd.data.dicom_results.codes import NOTICE, plain_text
from monai_kd.data.dicom_results.detection import Detection
from monai_kd.utils.box_labels import BoxLabel, draw_labels, label_text

__all__ = ["COLORS", "draw_picture", "enlargement"]

COLORS = {"solid": (255, 176, 0), "dotted": (86, 180, 233)}  # told apart by the color-blind too
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SMALLEST_FONT = 6
LEAST_SIDE = 1024  # of a picture, pixels; in less there is no room for words


def enlargement(shape: tuple[int, int]) -> int:
    """Return how many pixels of the picture, across and down, one pixel of the film becomes.

    Args:
        shape: ``(rows, columns)`` of the film.

    Returns:
        1 from 1024 pixels of the longer side on, else the least factor that reaches 1024.

    Example:
        >>> enlargement((2500, 2000)), enlargement((160, 198))
        (1, 6)
    """
    return -(-LEAST_SIDE // max(shape)) if max(shape) < LEAST_SIDE else 1


def draw_picture(
    gray: NDArray[np.uint8], detections: Sequence[Detection], title: str
) -> NDArray[np.uint8]:
    """Return the film in color, with boxes, on top of a band with the notice.

    A film of at least 1024 pixels keeps its size and place: its pixel (x, y) is the picture's pixel
    (x, y). A smaller one has no room for words: it is enlarged, smoothly, by the whole factor f of
    :func:`enlargement`, and its pixel (x, y) begins at pixel (f x, f y) of the picture. Nothing but
    boxes and their names covers the film. The outline lies inside the box.

    Args:
        gray: ``(rows, columns)``, the film as it should look.
        detections: drawn dotted first, then solid, the surest last.
        title: what looked at the film, written into the band.

    Returns:
        ``(f rows + band, f columns, 3)`` uint8, RGB.
    """
    factor = enlargement((gray.shape[0], gray.shape[1]))
    rows, columns = (factor * side for side in gray.shape)
    film = Image.fromarray(gray).resize((columns, rows), Image.Resampling.BILINEAR)
    picture = np.repeat(np.asarray(film)[..., np.newaxis], 3, axis=-1)
    ordered = sorted(
        (_enlarged(detection, factor) for detection in detections),
        key=lambda one: (one.solid, one.score),
    )
    width = max(1, round(max(rows, columns) / 500))
    for detection in ordered:
        _outline(picture, detection, width)
    band = _band(columns, max(rows, columns), _lines(detections, title))
    image = Image.fromarray(picture)
    labels = [
        BoxLabel(
            label_text(plain_text(detection.finding), detection.score),
            detection.box,
            COLORS[detection.operating_point],
        )
        for detection in ordered[::-1]
    ]
    draw_labels(image, labels, font_size=round(max(rows, columns) / 60))
    return np.concatenate([np.asarray(image), band]).astype(np.uint8)


def _enlarged(detection: Detection, factor: int) -> Detection:
    x_min, y_min, x_max, y_max = (factor * value for value in detection.box)
    return replace(detection, box=(x_min, y_min, x_max, y_max))


def _outline(picture: NDArray[np.uint8], detection: Detection, width: int) -> None:
    """Paint the outline of a box into the picture, inwards from its outermost pixels."""
    x_min, y_min, x_max, y_max = _pixels(detection, picture.shape)
    width = min(width, max(1, min(x_max - x_min, y_max - y_min) // 4))
    y, x = np.mgrid[: y_max - y_min, : x_max - x_min]
    depth = np.minimum.reduce([x, y, x_max - x_min - 1 - x, y_max - y_min - 1 - y])
    drawn = depth < width
    if not detection.solid:
        drawn &= (x + y) // (3 * width) % 2 == 0
    picture[y_min:y_max, x_min:x_max][drawn] = COLORS[detection.operating_point]


def _pixels(detection: Detection, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Return the box in whole pixels, at least one."""
    x_min, y_min = (int(np.floor(value)) for value in detection.box[:2])
    x_max, y_max = (int(np.ceil(value)) for value in detection.box[2:])
    return x_min, y_min, min(x_max, shape[1]), min(y_max, shape[0])


def _lines(detections: Sequence[Detection], title: str) -> list[tuple[str, tuple[int, int, int]]]:
    """Return the lines of the band, with their colors."""
    lines = [(NOTICE, WHITE), (plain_text(title, 120), WHITE)]
    if any(one.solid for one in detections):
        lines.append(("Solid box: strict operating point, few false alarms", COLORS["solid"]))
    if any(not one.solid for one in detections):
        lines.append(("Dotted box: lenient operating point, more false alarms", COLORS["dotted"]))
    return lines if detections else [*lines, ("No finding detected", WHITE)]


def _band(
    columns: int, longer: int, lines: Sequence[tuple[str, tuple[int, int, int]]]
) -> NDArray[np.uint8]:
    """Return ``(height, columns, 3)`` with the lines, in letters that fit its width."""
    size = max(12, round(longer / 50))
    while size > SMALLEST_FONT and any(
        ImageFont.load_default(size).getlength(line) > columns - size for line, _ in lines
    ):
        size -= 1
    font, step = ImageFont.load_default(size), round(1.4 * size)
    image = Image.new("RGB", (columns, step * len(lines) + size), BLACK)
    draw = ImageDraw.Draw(image)
    for number, (line, color) in enumerate(lines):
        draw.text((size // 2, size // 2 + number * step), line, fill=color, font=font)
    return np.asarray(image)
