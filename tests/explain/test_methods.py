# SPDX-License-Identifier: Apache-2.0
"""One call for every network, and the control that has learned nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.explain import (
    attention_relevance,
    attention_rollout,
    choose_method,
    explain,
    grad_cam,
    grad_cam_plus_plus,
    with_random_weights,
)
from monai_kd.networks import build_backbone


def cnn():
    torch.manual_seed(0)
    return build_backbone("resnet10-w16", num_findings=2)


class Transformer(nn.Module):
    """One layer of one head; patches of 8 and a class token."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 6, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.mix = nn.Linear(6, 6)
        self.fc = nn.Linear(6, 2)

    def forward_attention(self, image):
        x = self.embed(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        attention = (self.mix(x) @ x.transpose(1, 2)).softmax(-1)[:, None]
        return self.fc((attention[:, 0] @ x)[:, 0]), [attention]


def vit():
    torch.manual_seed(0)
    return Transformer()


def images():
    return torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("make", "method", "expected"),
    [
        pytest.param(cnn, "auto", grad_cam, id="auto cnn"),
        pytest.param(cnn, "grad_cam", grad_cam, id="grad_cam"),
        pytest.param(cnn, "grad_cam++", grad_cam_plus_plus, id="grad_cam++"),
        pytest.param(vit, "auto", attention_relevance, id="auto vit"),
        pytest.param(vit, "relevance", attention_relevance, id="relevance"),
        pytest.param(vit, "rollout", attention_rollout, id="rollout"),
    ],
)
def test_a_name_gives_its_method(make, method, expected):
    ours = explain(make(), images(), finding=1, method=method)
    torch.testing.assert_close(ours, expected(make(), images(), finding=1))
    assert ours.shape == (2, 1, 32, 32)


def test_the_method_that_was_chosen_has_a_name():
    assert [choose_method(cnn()), choose_method(vit())] == ["grad_cam", "relevance"]
    assert choose_method(cnn(), "grad_cam++") == "grad_cam++"


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"`method` must be one of auto, .*Did you mean `rollout`"):
        explain(vit(), images(), finding=0, method="rolout")


def test_a_network_that_shows_nothing_is_refused():
    with pytest.raises(TypeError, match=r"explain: `network` must have .* got Linear"):
        explain(nn.Linear(2, 2), images(), finding=0)


@pytest.mark.parametrize("make", [cnn, vit])
def test_random_weights_keep_nothing_and_come_back_with_the_seed(make):
    network = make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    fresh, again, other = (with_random_weights(network, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])
    weights = {name: value for name, value in fresh.named_parameters() if value.ndim > 1}
    assert weights
    for name, value in weights.items():
        torch.testing.assert_close(again.get_parameter(name), value)
        assert not torch.equal(value, network.get_parameter(name))
        assert not torch.equal(value, other.get_parameter(name))


def test_statistics_of_batch_norm_are_forgotten_too():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    network[1].running_mean.fill_(7)
    assert with_random_weights(network)[1].running_mean.eq(0).all()


def test_parameters_without_a_reset_are_shuffled():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.arange(50.0).reshape(5, 10))

    shuffled = with_random_weights(Scale()).scale
    assert shuffled.shape == (5, 10)
    assert shuffled.flatten().sort()[0].tolist() == list(range(50))
    assert not torch.equal(shuffled, Scale().scale)
