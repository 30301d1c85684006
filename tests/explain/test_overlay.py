# SPDX-License-Identifier: Apache-2.0
"""The overlay: film where the map is weak, heat where it is strong, outline round the region."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_kd.explain import heat_colors, overlay


def test_without_heat_and_region_it_is_the_film():
    film = np.linspace(0, 1, 48).reshape(6, 8)
    picture = overlay(film, np.zeros((6, 8)))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(
        picture, np.rint(255 * film).astype(np.uint8)[..., None].repeat(3, 2)
    )


def test_rows_stay_rows_and_heat_is_where_the_map_is_strong():
    cam = torch.zeros(1, 20, 30)
    cam[0, 5, 25] = 1
    picture = overlay(torch.zeros(1, 20, 30), cam)
    assert picture.shape == (20, 30, 3)
    assert np.argwhere(picture.any(-1)).tolist() == [[5, 25]]


def test_the_outline_hides_no_pixel_of_the_region():
    region = np.zeros((40, 40))
    region[10:20, 5:15] = 1
    film = np.full((40, 40), 0.5)
    picture, plain = overlay(film, film * 0, region_mask=region), overlay(film, film * 0)
    changed = (picture != plain).any(-1)
    assert not changed[region > 0].any()
    assert changed[9, 4:16].all()  # the row above
    assert changed[9:21, 15].all()  # the column to the right
    assert changed.sum() == 14 * 14 - 10 * 10  # outline and rim, one pixel each


def test_lightness_of_the_heat_rises_throughout():
    light = heat_colors(np.linspace(0, 1, 101)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > 0).all()


@pytest.mark.parametrize("name", ["cam", "region_mask"])
def test_shapes_must_agree(name):
    planes = {"cam": np.zeros((4, 4)), "region_mask": np.zeros((4, 4))} | {name: np.zeros((2, 2))}
    with pytest.raises(ValueError, match=rf"`{name}` must have the shape of `image`, \(4, 4\)"):
        overlay(np.zeros((4, 4)), **planes)
