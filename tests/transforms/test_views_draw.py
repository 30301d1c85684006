# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from monai_kd.transforms.views_draw import (
    LOCAL,
    NOISED,
    VIEW_PARAMETERS,
    ViewRecipe,
    draw_views,
    turn_matrix,
)

SIZE = 256


def drawn(recipe, films=4000, size=SIZE, flip=0.0):
    """Return the columns of one view's draws, by name."""
    random = np.random.RandomState(0)
    rows = np.concatenate([draw_views(random, size, (recipe,), flip=flip) for _ in range(films)])
    return dict(zip(VIEW_PARAMETERS, rows.T, strict=True))


def crop_by_rejection(random, size, scale):
    """Draw a crop as the published code does: up to ten, one after the other."""
    for _ in range(10):
        area = size * size * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= size and 0 < height <= size:
            left = random.integers(0, size - width + 1)
            return left, random.integers(0, size - height + 1), width, height
    return 0, 0, size, size


@pytest.mark.parametrize("recipe", [NOISED, LOCAL])
def test_crops_are_distributed_as_those_drawn_one_after_the_other(recipe):
    random = np.random.default_rng(1)
    expected = np.array([crop_by_rejection(random, SIZE, recipe.scale) for _ in range(4000)])
    got = drawn(recipe)
    for column, name in enumerate(("left", "top", "width", "height")):
        deviation = expected[:, column].std()
        # five standard errors of the difference of two means, and 5% of the spread
        assert (
            abs(got[name].mean() - expected[:, column].mean()) < 5 * deviation * (2 / 4000) ** 0.5
        )
        assert got[name].std() == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize("recipe", [NOISED, LOCAL])
def test_crops_are_whole_pixels_inside_the_film_and_keep_their_ranges(recipe):
    got = drawn(recipe, size=97)
    left, top, width, height = (got[name] for name in ("left", "top", "width", "height"))
    for column in (left, top, width, height):
        np.testing.assert_array_equal(column, np.rint(column))
    assert left.min() == 0 == top.min()
    assert (left + width).max() == 97 == (top + height).max()
    share, rounding = width * height / 97**2, 1.5 / 97
    assert recipe.scale[0] - rounding < share.min() < recipe.scale[0] + 0.02
    assert recipe.scale[1] - 0.02 < share.max() < recipe.scale[1] + rounding
    assert 3 / 4 - 0.04 < (width / height).min() < (width / height).max() < 4 / 3 + 0.04


def test_the_whole_film_is_taken_when_no_crop_fits():
    got = drawn(ViewRecipe(scale=(1.0, 1.0), chance=0.0), films=200)
    assert (got["width"] == SIZE).all()
    assert (got["height"] == SIZE).all()
    assert (got["left"] == 0).all()


@pytest.mark.parametrize("recipe", [NOISED, LOCAL])
def test_turns_and_chances_are_the_published_ones(recipe):
    got = drawn(recipe, flip=0.5)
    degrees = np.rad2deg(got["radians"])
    assert -15 <= degrees.min() < -14.9 < 14.9 < degrees.max() <= 15
    assert abs(degrees.mean()) < 0.7
    assert got["flip"].mean() == pytest.approx(0.5, abs=0.04)
    for name in ("autocontrast", "equalize"):
        assert set(got[name]) == {0, 1}
        assert got[name].mean() == pytest.approx(recipe.chance, abs=0.04)
    blurred = got["radius"][got["radius"] > 0]
    assert len(blurred) / 4000 == pytest.approx(recipe.chance, abs=0.04)
    assert 0.1 <= blurred.min() < 0.12 < 1.98 < blurred.max() <= 2
    names = ("left", "flip", "radians", "autocontrast", "equalize")
    together = np.corrcoef([*(got[name] for name in names), got["radius"] > 0])
    assert np.abs(together - np.eye(6)).max() < 0.08  # each for itself


def test_flip_0_never_mirrors_and_1_always():
    assert not drawn(NOISED, films=200, flip=0.0)["flip"].any()
    assert drawn(NOISED, films=200, flip=1.0)["flip"].all()


def test_the_same_amount_is_drawn_whatever_comes_out():
    first, second = np.random.RandomState(5), np.random.RandomState(5)
    draw_views(first, 256, (NOISED, LOCAL), flip=0.0)
    draw_views(second, 31, (LOCAL, NOISED), flip=1.0)
    assert first.random_sample() == second.random_sample()


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_turn_takes_each_pixel_from_where_numpy_does(flip, quarters):
    image = np.arange(25).reshape(5, 5)
    expected = np.rot90(image[:, ::-1] if flip else image, quarters)
    matrix = turn_matrix(flip, math.radians(90 * quarters), 5)
    rows, columns = np.mgrid[:5, :5]
    column, row = np.rint(np.einsum("ij,jhw->ihw", matrix, [columns, rows, np.ones((5, 5))]))
    np.testing.assert_array_equal(image[row.astype(int), column.astype(int)], expected)
