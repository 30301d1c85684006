# SPDX-License-Identifier: Apache-2.0
"""Peaks and boxes in fixed shapes: against those of free form, by hand, and in exported models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from monai_kd.metrics import candidate_boxes, find_candidates, top_candidates
from monai_kd.metrics.top_candidates import _connected_to_middle

NAMES = ("score", "box", "peak")


def smooth_maps(batch=2, findings=2, height=60, width=72, *, seed=0):
    """Hills that touch each other at half their height, of several cells each."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(batch, findings, height + 16, width + 16, generator=generator)
    for _ in range(2):
        maps = F.avg_pool2d(maps, 5, 1)
    maps = maps[..., 4 : 4 + height, 4 : 4 + width]
    return ((maps - maps.amin((2, 3), True)) / (maps - maps.amin((2, 3), True)).amax()) ** 4


def plateaus(seed=0):
    """Maps of few values, so that many peaks are equal."""
    return (smooth_maps(seed=seed) * 8).round() / 8


def assert_equal(ours, theirs):
    for name, one, other in zip(NAMES, ours, theirs, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert torch.equal(one, other), name


@pytest.mark.parametrize("radius", [1, 4, 7])
@pytest.mark.parametrize("count", [3, 20, 80])
def test_peaks_are_those_of_find_candidates(radius, count):
    prob = smooth_maps(seed=radius)
    index, height = find_candidates(prob, radius=radius, threshold=0, max_candidates=count)
    score, _, peak = top_candidates(prob, radius, count)
    used = score > 0
    assert torch.equal(used.sum(2).flatten(), torch.bincount(index[:, 0] * 2 + index[:, 1]))
    assert torch.equal(score[used], height)
    assert torch.equal(peak[used], index[:, [3, 2]] + 0.5)


def hills(*, seed=0, size=64, count=6):
    """Maps of oval hills in all directions, some of which touch; their areas are convex."""
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    maps = torch.zeros(4, 2, size, size)
    for one in maps.view(-1, size, size):
        for y, x, angle, length, width, height in torch.rand(count, 6, generator=generator):
            along = (column - x * size) * angle.mul(6).cos() + (row - y * size) * angle.mul(6).sin()
            across = (row - y * size) * angle.mul(6).cos() - (column - x * size) * angle.mul(
                6
            ).sin()
            far = (along / (2 + 8 * length)) ** 2 + (across / (1.5 + 3 * width)) ** 2
            one.copy_(torch.maximum(one, (0.2 + 0.8 * height) * (-far).exp()))
    return maps


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("maps", "bent"), [(hills, 0), (smooth_maps, 2)])
def test_boxes_hold_the_connected_area(share, maps, bent):
    prob = maps(seed=3)
    index, _ = find_candidates(prob, radius=4, threshold=0, max_candidates=20)
    expected = candidate_boxes(prob, index, share=share)
    score, box, peak = top_candidates(prob, share=share)
    box, middle = box[score > 0], peak[score > 0]
    near = (expected[:, :2] >= middle - 16.5) & (expected[:, 2:] <= middle + 16.5)
    box, expected = box[near.all(1)], expected[near.all(1)]
    assert len(box) > 40
    assert (box != expected).any(1).sum() <= bent  # turns more than twice
    assert (box[:, :2] >= expected[:, :2]).all()
    assert (box[:, 2:] <= expected[:, 2:]).all()


def test_a_box_ends_16_cells_from_its_peak_and_at_the_edge_of_the_map():
    prob = torch.full((1, 1, 20, 60), 0.6)
    prob[0, 0, 3, 30] = 1.0
    score, box, peak = top_candidates(prob, 60, 2)
    assert score.tolist() == [[[1.0, 0.0]]]
    assert box[0, 0].tolist() == [[14, 0, 47, 20], [0, 0, 0, 0]]
    assert peak[0, 0].tolist() == [[30.5, 3.5], [0, 0]]


def test_a_box_is_never_smaller_than_the_cell_of_its_peak():
    prob = torch.rand(2, 1, 30, 30, generator=torch.Generator().manual_seed(0))
    score, box, peak = top_candidates(prob, 2, 10, share=1.0)
    cell = torch.cat([peak - 0.5, peak + 0.5], 3)
    assert (score > 0).all()
    assert torch.equal(box, cell)


def test_areas_that_bend_are_followed_and_neighbors_are_not_taken():
    """Random windows, against the parts that scipy finds: few of them turn more than twice."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((400, 33, 33)), (0, 2.5, 2.5))
    part = noise > np.median(noise)
    part[:, 16, 16] = True
    ours = _connected_to_middle(torch.from_numpy(part).permute(1, 2, 0)).permute(2, 0, 1).numpy()
    differ = 0
    for mask, reached in zip(part, ours, strict=True):
        label, _ = ndimage.label(mask)
        assert reached[16, 16]
        assert not (reached & ~mask).any()
        differ += bool((reached != (label == label[16, 16])).any())
    assert differ <= 20


def test_equal_peaks_within_the_radius_are_one_the_nearest_to_their_middle():
    prob = torch.zeros(1, 1, 20, 20)
    prob[0, 0, 5, 9] = prob[0, 0, 6, 6] = prob[0, 0, 15, 15] = prob[0, 0, 15, 3] = 0.5
    score, _, peak = top_candidates(prob, 4, 5)
    assert score[0, 0].tolist() == [0.5, 0.5, 0.5, 0, 0]
    assert peak[0, 0, :3].tolist() == [[9.5, 5.5], [3.5, 15.5], [15.5, 15.5]]  # of two, the first
    prob[0, 0, 7, 5] = 0.5
    assert top_candidates(prob, 4, 5)[2][0, 0, 0].tolist() == [6.5, 6.5]


@pytest.mark.parametrize("radius", [4, 6])
def test_of_many_equal_cells_the_peak_is_that_of_find_candidates(radius):
    """Hills as bfloat16 has them: their tops are plateaus of many cells."""
    generator = torch.Generator().manual_seed(radius)
    row, column = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    maps = torch.zeros(24, 1, 48, 48)
    for one in maps[:, 0]:
        y, x = (12 + 24 * torch.rand(2, generator=generator)).tolist()
        one.copy_(torch.sigmoid(6 - ((row - y) ** 2 + (column - x) ** 2) / 30).bfloat16().float())
    assert ((maps == maps.amax((2, 3), True)).sum((2, 3)) > 8).all()
    index, _ = find_candidates(maps, radius=radius, threshold=0, max_candidates=1)
    _, _, peak = top_candidates(maps, radius, 1)
    assert torch.equal(peak[:, 0, 0], index[:, [3, 2]] + 0.5)


def test_most_peaks_of_bent_plateaus_are_those_of_find_candidates():
    prob = plateaus()
    index, _ = find_candidates(prob, radius=3, threshold=0, max_candidates=80)
    score, _, peak = top_candidates(prob, 3, 80)
    film, finding, slot = (score > 0).nonzero().T
    place = peak[film, finding, slot] - 0.5
    ours = torch.stack([film, finding, place[:, 1].long(), place[:, 0].long()], 1).tolist()
    same = sum(one in ours for one in index.tolist())
    assert len(index) <= len(ours) <= 1.2 * len(index)  # some are two
    assert same >= 0.8 * len(index)


def test_a_wide_plateau_is_one_peak():
    prob = torch.zeros(1, 1, 24, 32)
    prob[0, 0, 4:9, 10:25] = 1.0
    score, box, peak = top_candidates(prob, 3, 4)
    assert score[0, 0].tolist() == [1, 0, 0, 0]
    assert box[0, 0, 0].tolist() == [10, 4, 25, 9]
    assert peak[0, 0, 0].tolist() == [17.5, 6.5]


def test_no_two_peaks_lie_within_the_radius_even_where_many_are_equal():
    score, _, peak = top_candidates(plateaus(), 3, 40)
    for maps, places in zip(score.flatten(0, 1), peak.flatten(0, 1), strict=True):
        mine = places[maps > 0]
        apart = (mine[:, None] - mine).abs().amax(2) + 9 * torch.eye(len(mine))
        assert apart.min() > 3
        assert len(mine) > 3


@pytest.mark.parametrize("maps", [smooth_maps, plateaus])
def test_a_batch_gives_what_each_film_gives_alone(maps):
    prob = maps(seed=5)
    alone = [top_candidates(film[None]) for film in prob]
    assert_equal(top_candidates(prob), [torch.cat(parts) for parts in zip(*alone, strict=True)])


def test_an_empty_map_has_empty_slots():
    for part in top_candidates(torch.zeros(2, 3, 12, 12)):
        assert part.shape[:3] == (2, 3, 20)
        assert not part.any()
    assert top_candidates(torch.zeros(0, 3, 12, 12))[1].shape == (0, 3, 20, 4)


def test_a_map_with_fewer_cells_than_slots_fills_the_rest_with_nothing():
    prob = torch.tensor([[[[0.1, 0.2], [0.3, 0.9]]]])
    score, box, _ = top_candidates(prob, 1, 6)
    torch.testing.assert_close(score, torch.tensor([[[0.9, 0, 0, 0, 0, 0]]]))
    assert box[0, 0, 0].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_type_is_taken_in_single_precision(dtype):
    prob = smooth_maps(seed=1).to(dtype)
    assert_equal(top_candidates(prob), top_candidates(prob.float()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("maps", [smooth_maps, plateaus])
def test_the_scripted_function_finds_the_same(maps):
    prob = maps(seed=2)
    scripted = torch.jit.script(top_candidates)
    assert_equal(scripted(prob, 3, 12, 0.4), top_candidates(prob, 3, 12, 0.4))
    assert_equal(scripted(prob), top_candidates(prob))


class Finder(nn.Module):
    """What is exported."""

    def forward(self, prob):
        return top_candidates(prob, 3, 12)


@pytest.mark.filterwarnings("ignore")
def test_the_onnx_model_finds_the_same_in_any_number_of_films(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = str(tmp_path / "finder.onnx")
    torch.onnx.export(
        Finder(),
        (smooth_maps(),),
        path,
        input_names=["prob"],
        output_names=list(NAMES),
        dynamic_axes={name: {0: "batch"} for name in ("prob", *NAMES)},
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for prob in (smooth_maps(3, seed=7), plateaus(8)[:1], plateaus(9), torch.zeros(2, 2, 60, 72)):
        theirs = session.run(None, {"prob": prob.numpy()})
        assert_equal(top_candidates(prob, 3, 12), [torch.from_numpy(part) for part in theirs])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_map_with_nan_is_refused():
    prob = smooth_maps()
    prob[1, 0, 3, 3] = torch.nan
    with pytest.raises(ValueError, match="NaN means that the training has diverged"):
        top_candidates(prob)
    with pytest.raises(torch.jit.Error, match="the training has diverged"):
        torch.jit.script(top_candidates)(prob)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(4, 4),), r"`prob` must be \(B, C, H, W\), got 2"),
        ((torch.zeros(1, 1, 4, 4), 0), "`radius` and `max_candidates` must be at least 1, got 0"),
        ((torch.zeros(1, 1, 4, 4), 2, 0), "must be at least 1, got 2 and 0"),
        ((torch.zeros(1, 1, 4, 4), 2, 3, 0.0), r"`share` must be in \(0, 1\], got 0.0"),
        ((torch.zeros(1, 1, 4, 4), 2, 3, 1.5), r"`share` must be in \(0, 1\], got 1.5"),
    ],
)
def test_refuses_what_is_no_map_or_setting(arguments, message):
    with pytest.raises(ValueError, match=message):
        top_candidates(*arguments)
