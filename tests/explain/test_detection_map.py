# SPDX-License-Identifier: Apache-2.0
"""The map that a detector answers with, at the size of the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from monai_kd.explain import (
    MapClassifier,
    choose_method,
    detection_map,
    explain,
    with_random_weights,
)
from monai_kd.networks import MapMemory, build_aals_network, build_backbone


class Answers(nn.Module):
    """A detector that gives the same maps whatever it is shown."""

    def __init__(self, maps):
        super().__init__()
        self.maps = nn.Parameter(maps)

    def forward_map(self, image):
        return self.maps.expand(len(image), -1, -1, -1)


def detector():
    torch.manual_seed(0)
    return build_aals_network("resnet10-w16", num_findings=3, channels=16)


def images(size=40):
    return torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(1))


# Oracle: bilinear interpolation of scipy, which counts the middle of a pixel as a whole number.
def test_it_is_the_probability_at_the_size_of_the_image_with_a_peak_of_one():
    from scipy.ndimage import map_coordinates

    maps = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(2))
    ours = detection_map(Answers(maps), torch.zeros(1, 1, 20, 24), finding=1)
    rows, columns = np.mgrid[:20, :24]
    prob = maps[0, 1].sigmoid().double().numpy()
    at = [(rows + 0.5) / 4 - 0.5, (columns + 0.5) / 4 - 0.5]
    large = map_coordinates(prob, at, order=1, mode="nearest")
    np.testing.assert_allclose(ours[0, 0].numpy(), large / large.max(), atol=1e-6)


def test_a_detector_is_asked_for_its_map_and_no_other_network_is():
    assert choose_method(detector()) == "map"
    backbone = build_backbone("resnet10-w16", num_findings=1)
    assert choose_method(backbone) == "grad_cam"
    assert not isinstance(backbone, MapClassifier)


def test_each_image_may_be_asked_for_findings_of_its_own():
    network, image = detector(), images()
    every = torch.cat([explain(network, image, finding=c) for c in range(3)], dim=1)
    one_each = explain(network, image, finding=torch.tensor([2, 0]))
    torch.testing.assert_close(one_each[:, 0], torch.stack([every[0, 2], every[1, 0]]))
    several = explain(network, image, finding=torch.tensor([[1, 2], [0, 1]]))
    torch.testing.assert_close(several[0], every[0, 1:])
    torch.testing.assert_close(several[1], every[1, :2])
    assert several.amax((2, 3)).eq(1).all()


def test_the_network_is_asked_in_eval_mode_and_left_as_it_was():
    network = detector()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    network.head.eval()
    trained = explain(network, images(), finding=0)
    assert network.training
    assert not network.head.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])  # no running mean has moved
    torch.testing.assert_close(trained, explain(network.eval(), images(), finding=0))
    assert not trained.requires_grad


def test_an_odd_size_is_brought_back():
    assert explain(detector(), images(37), finding=0).shape == (2, 1, 37, 37)


def test_the_control_has_another_map():
    network = detector()
    with torch.no_grad():
        network.head[-1].weight.mul_(30)  # as sure as after training
    ours = explain(network, images(), finding=0)
    other = explain(with_random_weights(network), images(), finding=0)
    assert (ours - other).abs().max() > 0.1


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_diverged_detector_is_told(bad):
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 1, 2] = bad
    with pytest.raises(ValueError, match="must be finite, got 2 of 2 images with NaN"):
        explain(Answers(maps), images(), finding=0)


def test_a_finding_that_has_no_map_is_refused():
    with pytest.raises(ValueError, match=r"detection_map: `finding` must be in \[0, 2\], got 3"):
        explain(detector(), images(), finding=3)


def test_a_network_without_maps_is_refused():
    with pytest.raises(TypeError, match=r"must have `forward_map`, got MapMemory.*not what it is"):
        explain(MapMemory(detector()), images(), finding=0, method="map")
