# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AdjustContrast, ScaleIntensity, ShiftIntensity

from monai_kd.transforms.intensity import RandBrightnessContrastd, RandGammad, RandValueShiftd

KEYS = ("image", "region_image")
TRANSFORMS = [RandBrightnessContrastd, RandGammad, RandValueShiftd]


def ramp():
    return torch.linspace(0, 1, 64).view(1, 8, 8)


def expected(transform, image):
    """MONAI's own array transforms, given the drawn numbers; they agree where the range is 0-1."""
    if isinstance(transform, RandGammad):
        return AdjustContrast(transform._gamma)(image)
    if isinstance(transform, RandValueShiftd):
        return ShiftIntensity(transform._shift)(image)
    scaled = ScaleIntensity(minv=None, maxv=None, factor=transform._contrast - 1)(image)
    return ShiftIntensity(transform._brightness)(scaled)


@pytest.mark.parametrize("make", TRANSFORMS)
def test_values_change_as_monai_changes_them(make):
    transform = make(KEYS).set_random_state(0)
    for _ in range(5):
        out = transform({"image": ramp()})["image"]
        torch.testing.assert_close(out, expected(transform, ramp()).as_tensor().clamp(0, 1))


@pytest.mark.parametrize("make", TRANSFORMS)
def test_an_image_and_its_region_image_go_through_the_same_curve(make):
    mask = torch.zeros(1, 8, 8)
    mask[:, 2:5, 3:6] = 1
    transform = make(KEYS).set_random_state(1)
    for _ in range(5):
        out = transform({"image": ramp(), "region_image": ramp() * mask})
        assert torch.equal(out["image"][mask > 0], out["region_image"][mask > 0])


@pytest.mark.parametrize("make", TRANSFORMS)
def test_results_are_new_plain_tensors_in_range(make):
    item = {"image": MetaTensor(ramp()), "label": 1}
    out = make(KEYS).set_random_state(0)(item)
    assert type(out["image"]) is torch.Tensor
    assert out["image"].min() >= 0
    assert out["image"].max() <= 1
    assert torch.equal(item["image"].as_tensor(), ramp())
    assert set(out) == {"image", "label"}


@pytest.mark.parametrize("make", TRANSFORMS)
def test_the_probability_is_kept(make):
    transform = make(KEYS, prob=0.3).set_random_state(0)
    changed = [not torch.equal(transform({"image": ramp()})["image"], ramp()) for _ in range(500)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize(
    ("make", "name", "low", "high"),
    [
        (RandBrightnessContrastd, "_contrast", 0.8, 1.2),
        (RandBrightnessContrastd, "_brightness", -0.2, 0.2),
        (RandGammad, "_gamma", 0.8, 1.2),
        (RandValueShiftd, "_shift", -20 / 255, 20 / 255),
    ],
)
def test_draws_fill_the_published_ranges(make, name, low, high):
    transform = make(KEYS).set_random_state(0)
    draws = []
    for _ in range(300):
        transform({})
        draws.append(getattr(transform, name))
    margin = 0.02 * (high - low)
    assert low <= min(draws) < low + margin
    assert high - margin < max(draws) <= high
