# SPDX-License-Identifier: Apache-2.0
"""A teacher that reads the marking is told from one that reads the lesion."""

import pytest
import torch
from torch import nn

from monai_kd.engines import check_region_leakage, shuffle_regions_within_class


def film(finding, row):
    """Label 0: region of one pixel, label 1: of two. The lesion's value stands inside the region."""
    mask = torch.zeros(2, 4, 4)
    mask[finding, row, : finding + 1] = 1
    image = torch.full((1, 4, 4), 0.5)
    image[0, row, : finding + 1] = 0.9 if finding else 0.1
    return {"image": image, "region_mask": mask, "label": torch.eye(2)[finding]}


def films():
    return [film(finding, row) for finding in (0, 1) for row in range(4)]


class ReadsTheLesion(nn.Module):
    """Bright inside the region: finding 1."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, image):
        shown = image.flatten(1)
        value = shown.amax(1)
        return torch.stack([0.8 - value, value - 0.8], dim=1)


class ReadsTheMarking(ReadsTheLesion):
    """More than one pixel shown: finding 1."""

    def forward(self, image):
        shown = (image.flatten(1) > 0).float().sum(1)
        return torch.stack([1.5 - shown, shown - 1.5], dim=1)


def make_region_image(item):
    return item | {"region_image": item["image"] * item["region_mask"].amax(0, keepdim=True)}


def check(teacher, tmp_path):
    return check_region_leakage(
        teacher,
        films(),
        make_region_image=make_region_image,
        normalize=lambda item: item,
        folder=tmp_path,
    )


def test_a_teacher_that_reads_the_lesion_gets_worse(tmp_path):
    result = check(ReadsTheLesion(), tmp_path)
    assert result == {
        "accuracy": 1.0,
        "shuffled_region_accuracy": 0.5,
        "most_frequent": 0.5,
        "n": 8,
    }
    assert (tmp_path / "leakage.json").exists()


def test_a_teacher_that_reads_the_marking_stays_as_good(tmp_path):
    result = check(ReadsTheMarking(), tmp_path)
    assert result == {
        "accuracy": 1.0,
        "shuffled_region_accuracy": 1.0,
        "most_frequent": 0.5,
        "n": 8,
    }


@pytest.mark.parametrize("seed", range(5))
def test_masks_stay_in_their_class_and_none_stays_with_its_film(seed):
    before = films()
    after, exchanged = shuffle_regions_within_class(before, seed=seed)
    assert exchanged == 8
    for one, other in zip(before, after, strict=True):
        assert not torch.equal(one["region_mask"], other["region_mask"])
        assert one["region_mask"].sum() == other["region_mask"].sum()


def test_films_without_regions_keep_what_they_have():
    bare = [item | {"region_mask": torch.zeros(2, 4, 4)} for item in films()]
    after, exchanged = shuffle_regions_within_class(bare, seed=0)
    assert exchanged == 0
    assert not any(item["region_mask"].any() for item in after)
