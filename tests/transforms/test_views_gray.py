# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from monai_kd.transforms.views_gray import equalizing_curve, gray_curves, stretching_curve


def images():
    random = np.random.default_rng(0)
    for low, high in [(0, 256), (3, 250), (100, 140), (7, 9), (0, 2), (254, 256)]:
        yield random.integers(low, high, (40, 40)).astype(np.uint8)
    yield (random.normal(90, 20, (64, 64)).clip(0, 255)).astype(np.uint8)
    yield np.kron(np.eye(8, dtype=np.uint8) * 200, np.ones((8, 8), np.uint8))  # mostly black
    yield random.integers(0, 256, (5, 5)).astype(np.uint8)  # fewer pixels than levels
    yield np.full((32, 32), 77, np.uint8)
    yield np.zeros((32, 32), np.uint8)
    yield np.full((32, 32), 255, np.uint8)


def counts_of(image):
    return np.bincount(image.ravel(), minlength=256)


def pillow(image, autocontrast, equalize):
    view = Image.fromarray(image)
    view = ImageOps.autocontrast(view) if autocontrast else view
    return np.asarray(ImageOps.equalize(view) if equalize else view)


@pytest.mark.parametrize("image", list(images()))
def test_autocontrast_is_pillows(image):
    curve = stretching_curve(int(image.min()), int(image.max()))
    np.testing.assert_array_equal(curve[image], pillow(image, True, False))


def test_autocontrast_is_pillows_for_every_pair_of_levels():
    for low in range(0, 256, 5):
        for high in range(low, 256, 3):
            levels = np.arange(low, high + 1, dtype=np.uint8)[None]
            expected = pillow(levels, True, False)
            np.testing.assert_array_equal(stretching_curve(low, high)[levels], expected)


@pytest.mark.parametrize("autocontrast", [False, True])
@pytest.mark.parametrize("image", list(images()))
def test_equalization_is_pillows(image, autocontrast):
    curve = equalizing_curve(counts_of(image), autocontrast=autocontrast)
    np.testing.assert_array_equal(curve[image], pillow(image, autocontrast, True))


@pytest.mark.parametrize("equalize", [False, True])
@pytest.mark.parametrize("autocontrast", [False, True])
def test_curves_of_many_views_at_once_are_pillows(autocontrast, equalize):
    every = list(images())
    curves = gray_curves(
        torch.from_numpy(np.stack([counts_of(image) for image in every])),
        autocontrast=torch.full((len(every),), autocontrast),
        equalize=torch.full((len(every),), equalize),
    ).numpy()
    for image, curve in zip(every, curves, strict=True):
        np.testing.assert_array_equal(curve[image], pillow(image, autocontrast, equalize))


def test_each_of_many_views_is_changed_as_it_was_drawn():
    image = next(images()) // 2 + 20
    curves = gray_curves(
        torch.from_numpy(counts_of(image)).expand(4, -1),
        autocontrast=torch.tensor([False, True, False, True]),
        equalize=torch.tensor([False, False, True, True]),
    ).numpy()
    for row, drawn in enumerate([(False, False), (True, False), (False, True), (True, True)]):
        np.testing.assert_array_equal(curves[row][image], pillow(image, *drawn))
