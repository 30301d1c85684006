# SPDX-License-Identifier: Apache-2.0
"""Grad-CAM and Grad-CAM++: against a closed form and MONAI's; the network is left as it was."""

from __future__ import annotations

import monai.visualize
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_kd.explain import grad_cam, grad_cam_plus_plus


class Small(nn.Module):
    """Convolutions, then mean and a linear head, or a head that is not linear."""

    def __init__(self, linear=True):
        super().__init__()
        torch.manual_seed(0)
        self.stage = nn.Sequential(
            nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 5, 3, 2, 1)
        )
        self.drop = nn.Dropout(0.5)
        self.bend = nn.Identity() if linear else nn.ReLU(inplace=True)
        self.fc = nn.Linear(5, 3)

    def forward_features(self, image):
        return self.stage(image)

    def forward_head(self, features):
        return self.fc(self.drop(self.bend(features).mean((2, 3))))

    def forward(self, image):
        return self.forward_head(self.forward_features(image))


def images(b=4):
    return torch.rand(b, 1, 24, 32, generator=torch.Generator().manual_seed(1))


def scaled(maps):
    maps = F.interpolate(maps, (24, 32), mode="bilinear")
    return maps / maps.amax((1, 2, 3), keepdim=True)


def test_of_mean_and_linear_head_it_is_the_class_activation_map():
    network = Small()
    cam = grad_cam(network, images(), finding=1)
    features = network.eval().forward_features(images())
    expected = torch.einsum("d,bdhw->bhw", network.fc.weight[1], features).relu()[:, None]
    assert expected.amax((1, 2, 3)).min() > 0
    torch.testing.assert_close(cam, scaled(expected).detach())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(grad_cam, "GradCAM", id="Grad-CAM"),
        pytest.param(grad_cam_plus_plus, "GradCAMpp", id="Grad-CAM++"),
    ],
)
def test_it_is_the_map_of_monai_the_right_way_up(ours, theirs):
    network, other = Small(linear=False), Small(linear=False)
    other.bend.inplace = False  # MONAI's cannot take a head that begins in place; ours can
    other_cam = getattr(monai.visualize, theirs)(other, "stage")
    theirs = torch.cat([other_cam(one[None], class_idx=2) for one in images()])
    ours = ours(network, images(), finding=2)
    assert ours.amax((1, 2, 3)).min() == 1  # none of them is empty
    # MONAI maps the largest value to 0 and the smallest to 1; the smallest here is 0 after relu.
    low = ours.amin((1, 2, 3), keepdim=True)
    torch.testing.assert_close((ours - low) / (1 - low), 1 - theirs, atol=1e-5, rtol=0)


def test_each_image_may_have_its_own_finding():
    network, finding = Small(), torch.tensor([2, 0, 1, 2])
    together = grad_cam(network, images(), finding=finding)
    alone = [grad_cam(network, images()[i : i + 1], finding=int(f)) for i, f in enumerate(finding)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert together.shape == (4, 1, 24, 32)
    assert together.min() >= 0
    torch.testing.assert_close(together.amax((1, 2, 3)), torch.ones(4))


@pytest.mark.parametrize("cam", [grad_cam, grad_cam_plus_plus])
def test_several_findings_of_an_image_are_those_asked_one_by_one(cam):
    network, asked = Small(), torch.tensor([[2, 0], [1, 1], [0, 2], [2, 1]])
    together = cam(network, images(), finding=asked)
    alone = [cam(network, images(), finding=column) for column in asked.T]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_network_is_left_as_it_was_in_any_context(context):
    network = Small().train()
    network.drop.eval()
    network.fc.weight.requires_grad_(False)
    network.fc.bias.grad = torch.ones(3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with context():
        cam = grad_cam(network, images(), finding=0)
    assert not cam.requires_grad
    assert network.training
    assert network.stage[1].training
    assert not network.drop.training
    assert not network.fc.weight.requires_grad
    assert network.fc.bias.requires_grad
    assert network.fc.bias.grad.tolist() == [1, 1, 1]
    assert network.stage[0].weight.grad is None
    assert not network.stage._forward_hooks
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_the_modes_come_back_after_an_error():
    network = Small().train()
    with pytest.raises(ValueError, match=r"in \[0, 2\], got 7 to 7"):
        grad_cam(network, images(), finding=7)
    assert network.stage[1].training


def test_where_nothing_speaks_for_the_finding_the_map_is_zero():
    network = Small()
    nn.init.zeros_(network.fc.weight)
    assert grad_cam(network, images(), finding=0).eq(0).all()


def test_one_finding_per_image_or_one_for_all():
    with pytest.raises(ValueError, match=r"one per image, \(4,\), got \(2,\)"):
        grad_cam(Small(), images(), finding=torch.tensor([0, 1]))


def test_a_network_without_two_halves_is_refused():
    with pytest.raises(TypeError, match="`forward_features` and `forward_head`, got Linear"):
        grad_cam(nn.Linear(2, 2), images(), finding=0)
