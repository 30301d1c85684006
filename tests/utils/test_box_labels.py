# SPDX-License-Identifier: Apache-2.0
"""Labels stand beside their boxes, in the picture, and not on each other."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from PIL import Image

from monai_kd.utils.box_labels import BoxLabel, draw_labels, label_text, place_labels

PICTURE = (400, 300)
SIZE = (90.0, 20.0)


def shared(a, b):
    """Area that two boxes share."""
    across, down = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return max(across, 0) * max(down, 0)


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.87, "87%"), (0.0, "0%"), (0.004, "<1%"), (0.99, "99%"), (0.994, ">99%"), (1.0, "100%")],
)
def test_certainty_is_said_of_certain_scores_alone(score, text):
    assert label_text("rib_fracture", score) == f"rib fracture {text}"


def test_above_else_below_else_beside():
    places = [
        place_labels([box], [SIZE], PICTURE)[0]
        for box in [(50, 100, 80, 150), (50, 10, 80, 150), (50, 10, 80, 290)]
    ]
    assert places == [(50, 78, 140, 98), (50, 152, 140, 172), (82, 10, 172, 30)]


@pytest.mark.parametrize("box", [(0, 0, 400, 300), (390, 0, 400, 300), (0, 290, 400, 300)])
def test_a_label_stays_in_the_picture(box):
    (place,) = place_labels([box], [SIZE], PICTURE)
    assert place[0] >= 0
    assert place[1] >= 0
    assert place[2] <= 400
    assert place[3] <= 300


def test_labels_of_heaped_boxes_keep_clear_of_each_other_and_of_their_boxes():
    boxes = [(150 + 4 * n, 120 + 3 * n, 190 + 4 * n, 160 + 3 * n) for n in range(6)]
    places = place_labels(boxes, [SIZE] * 6, PICTURE)
    assert all(shared(a, b) == 0 for a, b in combinations(places, 2))
    assert all(shared(*pair) < 0.1 * 90 * 20 for pair in product(places, boxes))
    for place, box in zip(places, boxes, strict=True):  # two steps away at most
        near = (box[0] - 50, box[1] - 50, box[2] + 50, box[3] + 50)
        assert shared(place, near) > 0


def test_further_boxes_are_not_covered():
    box, other = (50, 100, 80, 150), (40, 60, 100, 99)
    assert place_labels([box], [SIZE], PICTURE, others=[other]) == [(50, 152, 140, 172)]


def test_text_in_its_color_on_a_dark_plate_and_nothing_else_changes():
    image = Image.new("RGB", PICTURE, (128, 128, 128))
    draw_labels(image, [BoxLabel("rib 87%", (50, 100, 80, 150), (255, 210, 64))], font_size=20)
    pixels = np.asarray(image)
    rows, columns = np.nonzero((pixels != 128).any(2))
    plate = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert not (plate == 128).all(2).any()
    assert (plate[0] == 0).all()
    assert (plate[:, 0] == 0).all()
    assert rows.max() < 100
    assert columns.min() == 50
    assert (plate == (255, 210, 64)).all(2).sum() > 30


def test_a_label_wider_than_the_picture_gets_smaller_letters():
    image = Image.new("RGB", (120, 80), (128, 128, 128))
    label = BoxLabel("clavicle fracture 87%", (10, 40, 30, 60), (255, 210, 64))
    draw_labels(image, [label], font_size=30)
    pixels = np.asarray(image)
    plate = np.nonzero((pixels != 128).any(2))[1]
    letters = np.nonzero(pixels[..., 0] > pixels[..., 2] + 60.0)[1]
    assert 100 < np.ptp(plate) < 120
    assert plate.min() < letters.min()
    assert letters.max() < plate.max()  # the last letter is whole
