# SPDX-License-Identifier: Apache-2.0
"""Peaks of heat maps: against the maximum of each window, plateaus, and boxes by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from monai_kd.metrics import candidate_boxes, candidates, find_candidates, fixed_boxes
from monai_kd.metrics.candidates import _plateaus


def maps(*peaks, shape=(1, 1, 24, 32)):
    """Zeros, and a value at each (image, channel, row, column)."""
    heat = torch.zeros(shape)
    for *where, value in peaks:
        heat[tuple(where)] = value
    return heat


@pytest.mark.parametrize("radius", [1, 2, 3, 7, 12])
def test_peaks_are_the_maxima_of_their_windows(radius):
    heat = torch.rand(3, 2, 40, 33, generator=torch.Generator().manual_seed(radius)).double()
    size = 2 * radius + 1
    expected = (heat == F.max_pool2d(heat, size, 1, radius)) & (heat > 0.3)
    index, score = find_candidates(heat, radius=radius, threshold=0.3, max_candidates=999)
    assert sorted(index.tolist()) == expected.nonzero().tolist()
    torch.testing.assert_close(score, heat[tuple(index.T)])


def test_peaks_come_by_map_and_height_and_the_lowest_are_left_out():
    heat = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    index, score = find_candidates(heat, radius=3, max_candidates=999)
    best, best_score = find_candidates(heat, radius=3, max_candidates=2)
    place = [(i, c, -s) for (i, c, _, _), s in zip(index.tolist(), score.tolist(), strict=True)]
    assert place == sorted(place)
    assert torch.bincount(best[:, 0] * 3 + best[:, 1]).tolist() == [2] * 6
    assert set(map(tuple, best.tolist())) <= set(map(tuple, index.tolist()))
    assert best_score.min() > 0.9


@pytest.mark.parametrize(
    ("area", "middle"),
    [
        pytest.param((slice(4, 9), slice(10, 25)), [6, 17], id="larger than the window"),
        pytest.param((slice(4, 6), slice(10, 12)), [4, 10], id="smaller"),
        pytest.param((slice(0, 24), slice(0, 32)), [11, 15], id="the whole map"),
    ],
)
def test_a_plateau_is_one_peak_near_its_middle(area, middle):
    heat = torch.zeros(1, 1, 24, 32)
    heat[0, 0][area] = 1.0
    index, score = find_candidates(heat, radius=2)
    assert index.tolist() == [[0, 0, *middle]]
    assert score.tolist() == [1.0]


def test_equal_peaks_apart_are_two_and_a_bent_plateau_is_one():
    apart = maps((0, 0, 4, 4, 0.8), (0, 0, 4, 8, 0.8))
    assert len(find_candidates(apart, radius=3)[0]) == 2
    assert len(find_candidates(apart, radius=4)[0]) == 1
    bent = torch.zeros(1, 1, 24, 32)
    bent[0, 0, 3:20, 5] = bent[0, 0, 19, 5:25] = bent[0, 0, 3:20, 24] = 0.7
    index, _ = find_candidates(bent, radius=2)
    assert len(index) == 1
    assert bent[tuple(index[0])] == 0.7  # on the plateau, not in the hollow


def test_a_map_that_stays_below_the_threshold_has_no_peak():
    index, score = find_candidates(maps((0, 0, 2, 2, 0.4), shape=(2, 1, 9, 9)), threshold=0.4)
    assert index.shape == (0, 4)
    assert len(score) == 0
    assert find_candidates(torch.zeros(0, 2, 5, 5))[0].shape == (0, 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_map_with_nan_is_refused_not_taken_for_one_without_a_peak():
    heat = maps((0, 0, 5, 5, 0.9))
    heat[0, 0, 5, 6] = torch.nan
    with pytest.raises(ValueError, match="`heat` must hold numbers, got 1 pixels that are NaN"):
        find_candidates(heat)
    with pytest.raises(torch.jit.Error, match="got 1 pixels that are NaN"):
        torch.jit.script(find_candidates)(heat)


@pytest.mark.parametrize("radius", [1, 2])
def test_plateaus_are_the_connected_parts_whatever_their_form(radius):
    generator = torch.Generator().manual_seed(radius)
    for share in (0.05, 0.2, 0.35, 0.6, 1.0):
        peak = torch.rand(2, 40, 50, generator=generator) < share / radius
        window = np.ones((2 * radius + 1, 2 * radius + 1))
        for ours, mask in zip(_plateaus(peak, radius), peak.numpy(), strict=True):
            if radius == 1:
                expected = ndimage.label(mask, window)[0][mask]
            else:  # two pixels are connected where one lies in the other's window
                where = np.argwhere(mask)
                near = np.abs(where[:, None] - where).max(-1) <= radius
                expected = connected_components(near)[1]
            _, number = np.unique(ours[torch.from_numpy(mask)].numpy(), return_inverse=True)
            pairs = set(zip(number.tolist(), expected.tolist(), strict=True))
            assert len(pairs) == len(set(number.tolist())) == len(np.unique(expected))


def test_a_long_winding_plateau_is_one_peak_in_few_rounds(monkeypatch):
    heat = torch.zeros(1, 1, 400, 400)
    for number, row in enumerate(range(0, 400, 4)):  # 100 turns, 40,000 pixels long
        heat[0, 0, row] = 1
        heat[0, 0, row : row + 4, 399 if number % 2 == 0 else 0] = 1
    passes = []

    def counted(*inputs):
        passes.append(1)
        return window_max(*inputs)

    window_max = candidates._window_max
    monkeypatch.setattr(candidates, "_window_max", counted)
    assert len(find_candidates(heat, radius=1)[0]) == 1
    assert len(passes) < 60


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_gives_the_same_peaks(dtype):
    heat = maps((0, 0, 5, 5, 0.5), (0, 0, 15, 20, 0.75))
    index, score = find_candidates(heat.to(dtype))
    assert index.tolist() == [[0, 0, 15, 20], [0, 0, 5, 5]]
    assert score.dtype == dtype


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_scripted_function_finds_the_same():
    heat = torch.rand(2, 2, 30, 30, generator=torch.Generator().manual_seed(0)).mul(20).round()
    scripted = torch.jit.script(find_candidates)(heat, 3, 0.1, 50)
    for ours, theirs in zip(find_candidates(heat, 3, 0.1, 50), scripted, strict=True):
        assert torch.equal(ours, theirs)


def test_a_box_holds_the_connected_area_that_is_half_as_high():
    heat = torch.zeros(2, 1, 80, 90)
    heat[0, 0, 10:20, 30:50] = 0.5
    heat[0, 0, 12, 40] = 0.9
    heat[0, 0, 30:40, 30:50] = 0.8  # as high, but not connected
    heat[1, 0, :, 3] = 0.6  # leaves the first window
    index = torch.tensor([[0, 0, 12, 40], [1, 0, 70, 3]])
    assert candidate_boxes(heat, index).tolist() == [[30, 10, 50, 20], [3, 0, 4, 80]]
    assert candidate_boxes(heat, index, share=0.6).tolist()[0] == [40, 12, 41, 13]
    assert candidate_boxes(heat, index[:0]).shape == (0, 4)


def test_a_fixed_box_stands_around_the_middle_of_the_pixel():
    index = torch.tensor([[0, 0, 12, 40]])
    assert fixed_boxes(index, size=5).tolist() == [[38, 10, 43, 15]]
    assert fixed_boxes(index, size=0).tolist() == [[40.5, 12.5, 40.5, 12.5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find_candidates(torch.rand(5, 5)), r"must be \(B, C, H, W\), got \[5, 5\]"),
        (lambda: find_candidates(maps(), radius=0), "must be at least 1, got 0 and 100"),
        (lambda: find_candidates(maps(), max_candidates=0), "must be at least 1, got 8 and 0"),
        (lambda: candidate_boxes(maps(), torch.zeros(0, 4), share=0), r"in \(0, 1\], got 0"),
    ],
)
def test_refuses_what_is_no_heat_map_or_setting(call, message):
    with pytest.raises(ValueError, match=message):
        call()
