# SPDX-License-Identifier: Apache-2.0
"""Draw boxes, names and scores on a film, and a line below it that says what this is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from monai_kd.data.dicom_results.codes import NOTICE, plain_text
from monai_kd.data.dicom_results.detection import Detection

__all__ = ["COLORS", "draw_picture"]

COLORS = {"solid": (255, 176, 0), "dotted": (86, 180, 233)}  # told apart by the color-blind too
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SMALLEST_FONT = 6
MARGIN = 2  # around a name, pixels
Place = tuple[float, float, float, float]


def draw_picture(
    gray: NDArray[np.uint8], detections: Sequence[Detection], title: str
) -> NDArray[np.uint8]:
    """Return the film in color, with boxes, on top of a band with the notice.

    The film keeps its size and place: its pixel (x, y) is the picture's pixel (x, y), and nothing
    but boxes and their names covers it. The outline lies inside the box.

    Args:
        gray: ``(rows, columns)``, the film as it should look.
        detections: drawn dotted first, then solid, the surest last.
        title: what looked at the film, written into the band.

    Returns:
        ``(rows + band, columns, 3)`` uint8, RGB.
    """
    rows, columns = gray.shape
    picture = np.repeat(gray[..., np.newaxis], 3, axis=-1)
    ordered = sorted(detections, key=lambda one: (one.solid, one.score))
    width = max(1, round(max(rows, columns) / 500))
    for detection in ordered:
        _outline(picture, detection, width)
    band = _band(columns, max(rows, columns), _lines(detections, title))
    image = Image.fromarray(picture)
    _write_names(image, ordered[::-1])
    return np.concatenate([np.asarray(image), band]).astype(np.uint8)


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


def _write_names(image: Image.Image, detections: Sequence[Detection]) -> None:
    """Write finding and score beside each box, where no other name is yet."""
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(10, round(max(image.size) / 60)))
    taken: list[Place] = [detection.box for detection in detections]
    for detection in detections:
        name = f"{plain_text(detection.finding)} {detection.score:.2f}"
        left, top, right, bottom = draw.textbbox((0, 0), name, font=font)
        size = (right - left + 2 * MARGIN, bottom - top + 2 * MARGIN)
        places = _places(detection, image.size, size)
        place = next((one for one in places if not _meets(one, taken)), places[0])
        taken.append(place)
        draw.rectangle(place, fill=BLACK)
        corner = (place[0] + MARGIN - left, place[1] + MARGIN - top)
        draw.text(corner, name, fill=COLORS[detection.operating_point], font=font)


def _places(detection: Detection, film: tuple[int, int], size: tuple[float, float]) -> list[Place]:
    """Return where a name of ``size`` could stand, inside the film: above, below, right, left."""
    (x_min, y_min, x_max, y_max), (width, height), gap = detection.box, size, 2
    corners = [
        (x_min, y_min - height - gap),
        (x_min, y_max + gap),
        (x_max + gap, y_min),
        (x_min - width - gap, y_min),
    ]
    inside = [
        (x, y) for x, y in corners if 0 <= y <= film[1] - height and -gap <= x <= film[0] + gap
    ] or corners
    kept = [
        (max(0.0, min(x, film[0] - width)), max(0.0, min(y, film[1] - height))) for x, y in inside
    ]
    return [(x, y, x + width, y + height) for x, y in kept]


def _meets(place: Place, taken: Sequence[Place]) -> bool:
    return any(
        place[0] < other[2] and other[0] < place[2] and place[1] < other[3] and other[1] < place[3]
        for other in taken
    )


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
