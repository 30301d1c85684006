# SPDX-License-Identifier: Apache-2.0
"""Agreement of maps and regions: by hand, and against sets of pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_kd.explain import (
    OVERLAP_THRESHOLDS,
    best_threshold_iou,
    mass_inside,
    overlap_at_thresholds,
    pointing_game,
)


def maps():
    """Mass 4 in the left half, peak there; mass inside the mask by hand: 3/4, all, none, NaN."""
    cam = torch.zeros(5, 1, 4, 4)
    cam[:3, 0, 1, :2] = torch.tensor([3.0, 1.0])
    cam[4, 0, 0, 0] = 1
    mask = torch.zeros(5, 1, 4, 4)
    mask[0, 0, 1, 0] = mask[1, 0, 1, :2] = mask[2, 0, 3, 3] = mask[3] = 1
    return cam, mask


def test_mass_inside_by_hand():
    nan = float("nan")
    torch.testing.assert_close(
        mass_inside(*maps()), torch.tensor([0.75, 1, 0, nan, nan]), equal_nan=True
    )


def test_mass_inside_of_a_flat_map_is_the_share_of_the_area():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :2, :4] = 1
    assert mass_inside(torch.ones(1, 1, 8, 8), mask).item() == pytest.approx(8 / 64)


def test_the_pointing_game_by_hand():
    assert pointing_game(*maps()).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("measure", [mass_inside, pointing_game, overlap_at_thresholds])
def test_maps_and_masks_of_several_findings_are_refused(measure):
    with pytest.raises(
        ValueError, match=r"`mask` must have the shape of `cam`.*Select one finding"
    ):
        measure(torch.ones(2, 1, 4, 4), torch.ones(2, 3, 4, 4))


def random_maps(b=6, size=16):
    generator = torch.Generator().manual_seed(0)
    cam = torch.rand(b, 1, size, size, generator=generator)
    cam[:, :, ::3] = (20 * cam[:, :, ::3]).round() / 20  # pixels that stand at a threshold
    mask = (torch.rand(b, 1, size, size, generator=generator) > 0.7).float()
    return cam, mask


def test_overlap_is_that_of_the_sets_of_pixels():
    cam, mask = random_maps()
    overlap = overlap_at_thresholds(cam, mask)
    assert overlap.shape == (6, len(OVERLAP_THRESHOLDS))
    for image in range(len(cam)):
        for column, threshold in enumerate(OVERLAP_THRESHOLDS):
            cut = (cam[image] >= torch.tensor(threshold)).numpy()
            region = mask[image].numpy() > 0
            expected = (cut & region).sum() / (cut | region).sum()
            assert overlap[image, column] == pytest.approx(expected, abs=1e-6)


def test_overlap_is_that_of_scikit_learn():
    from sklearn.metrics import jaccard_score

    cam, mask = random_maps(b=1)
    ours = overlap_at_thresholds(cam, mask, thresholds=(0.4,))
    theirs = jaccard_score(mask.flatten().int(), (cam.flatten() >= 0.4).int())
    assert ours.item() == pytest.approx(theirs)


def test_overlap_of_an_empty_map_or_region_is_not_a_number():
    overlap = overlap_at_thresholds(*maps())
    assert overlap.isnan().all(1).tolist() == [False, False, False, True, True]
    empty = overlap_at_thresholds(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4))
    assert empty.isnan().all()


@pytest.mark.parametrize("thresholds", [(), (0.5, 0.5), (0.6, 0.2), (0.0, 0.5)])
def test_thresholds_must_rise_from_above_zero(thresholds):
    with pytest.raises(ValueError, match=r"`thresholds` must rise from above 0, got \["):
        overlap_at_thresholds(*random_maps(), thresholds=thresholds)


def test_the_best_threshold_is_the_one_of_the_largest_mean():
    cam, mask = random_maps()
    mask = (cam >= 0.6).float()
    mean, threshold = best_threshold_iou(cam, mask)
    assert (mean, threshold) == (1.0, 0.6)


def test_the_best_threshold_of_nothing_is_not_a_number():
    assert np.isnan(best_threshold_iou(torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4))).all()
    assert np.isnan(best_threshold_iou(torch.zeros(0, 1, 4, 4), torch.ones(0, 1, 4, 4))).all()
