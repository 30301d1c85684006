# SPDX-License-Identifier: Apache-2.0
"""Names beside the boxes of a picture: readable, outside the boxes, and never on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["BoxLabel", "draw_labels", "label_text", "place_labels"]

Box = tuple[float, float, float, float]
_Array = NDArray[np.float64]

_PLATE = (0, 0, 0)
_MARGIN = 0.2  # around a text, heights of its font
_GAP = 2.0  # between a box and its label, pixels
_STEPS = 6  # how far a label may be pushed from its box, heights of a label
_ON_A_LABEL, _ON_A_BOX = 100.0, 10.0  # what covering costs, in heights of a label away from the box
_LATER = 0.01  # what a place further down the list costs
_SMALLEST_FONT = 6


@dataclass(frozen=True)
class BoxLabel:
    """A text that belongs to a box.

    Args:
        text: what is written.
        box: ``x_min, y_min, x_max, y_max`` in pixels of the picture, maxima exclusive.
        color: of the text, RGB, 0 to 255.
    """

    text: str
    box: Box
    color: tuple[int, int, int]


def label_text(finding: str, score: float) -> str:
    """Return finding and probability as a reader says them.

    Args:
        finding: name, with ``_`` for spaces; "" when it goes without saying.
        score: probability, in [0, 1]; 0 % and 100 % are said of 0 and 1 alone.

    Example:
        >>> label_text("rib_fracture", 0.873)
        'rib fracture 87%'
        >>> label_text("", 0.999)
        '>99%'
    """
    percent = f"{100 * score:.0f}%"
    if 0 < score < 0.005:
        percent = "<1%"
    elif 0.99 < score < 1:
        percent = ">99%"
    return f"{finding.replace('_', ' ')} {percent}".strip()


def draw_labels(
    image: Image.Image, labels: Sequence[BoxLabel], *, font_size: int, boxes: Sequence[Box] = ()
) -> None:
    """Write labels on dark plates beside their boxes, into ``image``.

    Args:
        image: RGB picture.
        labels: the first get the best places.
        font_size: pixels; less where a label would be wider than the picture.
        boxes: further boxes that no label should cover, in pixels of the picture.
    """
    from PIL import ImageDraw, ImageFont

    if not labels:
        return
    pen = ImageDraw.Draw(image)
    font: Any = ImageFont.load_default(font_size)
    while font_size > _SMALLEST_FONT and (
        max(font.getlength(label.text) for label in labels) + 2 * _MARGIN * font_size > image.width
    ):
        font_size -= 1
        font = ImageFont.load_default(font_size)
    margin = round(_MARGIN * font_size)
    _, top, _, bottom = font.getbbox("Agj(%")
    height = bottom - top + 2 * margin
    sizes = [(np.ceil(font.getlength(label.text)) + 2 * margin, height) for label in labels]
    places = place_labels([label.box for label in labels], sizes, image.size, others=boxes)
    for label, (x_min, y_min, x_max, y_max) in zip(labels, places, strict=True):
        pen.rectangle((x_min, y_min, x_max - 1, y_max - 1), fill=_PLATE)
        pen.text((x_min + margin, y_min + margin - top), label.text, fill=label.color, font=font)


def place_labels(
    boxes: Sequence[Box],
    sizes: Sequence[tuple[float, float]],
    picture: tuple[int, int],
    *,
    others: Sequence[Box] = (),
) -> list[Box]:
    """Return where each label stands: above its box, else below, else beside it, else further off.

    A label lies in the picture, whatever its box. It covers another label only where there is no
    room near its box at all, and a box only where a free place would be far off.

    Args:
        boxes: of the labels, ``x_min, y_min, x_max, y_max`` in pixels; the first choose first.
        sizes: ``(width, height)`` of each label, pixels.
        picture: ``(width, height)``, pixels.
        others: further boxes that should not be covered.

    Returns:
        One place per label, whole pixels, maxima exclusive.
    """
    every = np.array([*boxes, *others], np.float64).reshape(-1, 4)
    taken = np.empty((0, 4))
    for box, size in zip(boxes, sizes, strict=True):
        places = _places(box, size, picture)
        cost = (
            _ON_A_LABEL * _covered(places, taken)
            + _ON_A_BOX * _covered(places, every)
            + _away(places, box) / size[1]
            + _LATER * np.arange(len(places))
        )
        taken = np.append(taken, places[[cost.argmin()]], axis=0)
    return [(place[0], place[1], place[2], place[3]) for place in taken.tolist()]


def _places(box: Box, size: tuple[float, float], picture: tuple[int, int]) -> _Array:
    """Places to choose from, the favorite first, each moved into the picture."""
    (x_min, y_min, x_max, y_max), (width, height) = box, size
    across = [x_min, x_max - width, (x_min + x_max - width) / 2]
    aside = [x_min - width / 2, x_max - width / 2, x_min - width, x_max]
    along = [y_min, y_max - height, (y_min + y_max - height) / 2]
    corners = []
    for step in range(_STEPS):
        off = _GAP + step * height / 2
        rows = [y_min - height - off, y_max + off]
        corners += list(product(across, rows))
        corners += list(product([x_max + off, x_min - width - off], along))
        corners += list(product(aside, rows))
    latest = np.maximum(np.array(picture) - size, 0)
    first = np.clip(np.rint(corners), 0, np.floor(latest))
    return np.concatenate([first, first + size], axis=1)


def _covered(places: _Array, taken: _Array) -> _Array:
    """How much of each place is taken, its area being 1; what is taken twice counts twice."""
    low = np.maximum(places[:, None, :2], taken[None, :, :2])
    high = np.minimum(places[:, None, 2:], taken[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    area: _Array = (places[:, 2:] - places[:, :2]).prod(axis=1)
    total: _Array = shared.sum(axis=1)
    return total / area


def _away(places: _Array, box: Box) -> _Array:
    """Pixels from each place to its box, beyond the gap; 0 when it is next to it."""
    own = np.array(box)
    between = np.maximum(own[:2] - places[:, 2:], places[:, :2] - own[2:]).clip(min=0)
    distance: _Array = np.hypot(between[:, 0], between[:, 1]) - _GAP
    return distance.clip(min=0)
