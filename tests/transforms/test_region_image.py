# SPDX-License-Identifier: Apache-2.0
"""What is promised of region images."""

from __future__ import annotations

import pytest
import torch

from monai_kd.transforms import RegionImaged, keep_region


def item(**changes):
    torch.manual_seed(0)
    region = torch.zeros(2, 20, 30)
    region[0, 2:6, 3:8] = 1
    region[1, 10:12, 20:30] = 1
    lungs = torch.zeros(1, 20, 30)
    lungs[:, 5:15, 5:25] = 1
    image = torch.rand(1, 20, 30) + 0.1
    return {"image": image, "region_mask": region, "lung_mask": lungs} | changes


NOTHING = torch.zeros(2, 20, 30)


@pytest.mark.parametrize("mode", ["mask", "lung"])
def test_only_the_regions_of_all_findings_are_left(mode):
    data = item()
    inside = data["region_mask"].amax(dim=0, keepdim=True)
    made = RegionImaged(mode=mode)(data)["region_image"]
    torch.testing.assert_close(made, data["image"] * inside)


def test_blur_keeps_the_inside_and_smooths_the_outside():
    data = item()
    inside = data["region_mask"].amax(dim=0, keepdim=True) > 0
    made = RegionImaged(mode="blur")(data)["region_image"]
    torch.testing.assert_close(made[inside], data["image"][inside])
    assert made[~inside].std() < 0.5 * data["image"][~inside].std()
    assert made[~inside].mean().item() == pytest.approx(data["image"].mean().item(), abs=0.05)


def test_whole_shows_the_teacher_what_the_student_sees():
    data = item()
    torch.testing.assert_close(RegionImaged(mode="whole")(data)["region_image"], data["image"])


@pytest.mark.parametrize("mode", ["mask", "blur"])
def test_an_image_without_drawn_regions_stays_whole(mode):
    data = item(region_mask=NOTHING)
    torch.testing.assert_close(RegionImaged(mode=mode)(data)["region_image"], data["image"])


def test_lung_shows_the_lungs_of_an_image_without_regions():
    data = item(region_mask=NOTHING)
    made = RegionImaged(mode="lung")(data)["region_image"]
    torch.testing.assert_close(made, data["image"] * data["lung_mask"])
    whole = RegionImaged(mode="lung")(item(region_mask=NOTHING, lung_mask=None))
    torch.testing.assert_close(whole["region_image"], data["image"])


@pytest.mark.parametrize("region_mask", [NOTHING, item()["region_mask"]])
def test_the_item_and_its_image_are_not_changed(region_mask):
    data = item(region_mask=region_mask)
    before = {key: value.clone() for key, value in data.items()}
    made = RegionImaged()(data)
    made["region_image"].zero_()
    assert data.keys() == before.keys()
    for key, value in before.items():
        torch.testing.assert_close(data[key], value)


def test_keep_region_keeps_the_type_of_the_image():
    image = torch.ones(1, 8, 8, dtype=torch.float64)
    region = torch.zeros(1, 8, 8)
    region[:, 0] = 1
    for mode in ("mask", "blur"):
        assert keep_region(image, region, mode=mode).dtype == torch.float64


def test_refuses_wrong_use():
    with pytest.raises(
        ValueError, match="`mode` must be one of mask, lung, blur, whole, got 'masks'"
    ):
        RegionImaged(mode="masks")
    with pytest.raises(KeyError, match="Put RegionsToMaskd before it"):
        RegionImaged()({"image": torch.ones(1, 2, 2)})
    with pytest.raises(ValueError, match=r"\(20, 30\), got \(10, 10\)"):
        RegionImaged()(item(region_mask=torch.zeros(2, 10, 10)))
