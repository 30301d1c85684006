# SPDX-License-Identifier: Apache-2.0
"""Boxes of the square image on the stored film: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.handlers.film_boxes import boxes_on_film


def test_boxes_are_cut_at_the_edges_and_those_beside_are_told():
    """A film of 64 x 32 in a square of 32 lies in columns 8 to 24, at half its size."""
    square = [[8, 0, 24, 32], [4, 2, 10, 6], [0, 4, 8, 8], [24, 4, 30, 8], [23.9, 4, 30, 8]]
    box, there = boxes_on_film(square, (64, 32), spatial_size=32)
    assert there.tolist() == [True, True, False, False, True]
    expected = [[0, 0, 32, 64], [0, 4, 4, 12], [0, 8, 0, 16], [32, 8, 32, 16], [31.8, 8, 32, 16]]
    np.testing.assert_allclose(box, expected)


def test_what_only_rounding_moves_into_the_film_lies_beside():
    _, there = boxes_on_film([[0, 4, 8.0001, 8], [0, 4, 8.01, 8]], (64, 32), spatial_size=32)
    assert there.tolist() == [False, True]


@pytest.mark.parametrize("count", [0, 3])
def test_any_number_of_boxes(count):
    box, there = boxes_on_film(np.zeros((count, 4), np.float32), (64, 32), spatial_size=32)
    assert box.shape == (count, 4)
    assert there.shape == (count,)
