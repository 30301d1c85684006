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


def test_every_layer_keeps_the_scale_of_its_weights():
    network = cnn()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.7)
    fresh = with_random_weights(network)
    for name, value in network.named_parameters():
        ours = fresh.get_parameter(name).flatten().sort()[0]
        torch.testing.assert_close(ours, value.flatten().sort()[0], rtol=0, atol=0)


def test_a_normalization_is_shuffled_channel_by_channel():
    network = nn.Sequential(nn.Conv2d(1, 20, 3), nn.BatchNorm2d(20))
    norm = network[1]
    with torch.no_grad():
        for place, value in enumerate(
            (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        ):
            value.copy_(torch.arange(20) + 100 * place)
    fresh = with_random_weights(network)[1]
    order = fresh.weight.long()
    assert sorted(order.tolist()) == list(range(20))
    assert order.tolist() != list(range(20))
    for place, value in enumerate((fresh.bias, fresh.running_mean, fresh.running_var), start=1):
        assert (value.long() - 100 * place).tolist() == order.tolist()
    assert fresh.num_batches_tracked == norm.num_batches_tracked


@pytest.mark.parametrize(
    ("make", "method"),
    [(cnn, "grad_cam"), (cnn, "grad_cam++"), (vit, "rollout"), (vit, "relevance")],
)
def test_a_diverged_network_is_told_not_shown_as_one_that_sees_nothing(make, method):
    network = make()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ValueError, match="must be finite, got 2 of 2 images with NaN"):
        explain(network, images(), finding=0, method=method)


def test_parameters_of_any_module_are_shuffled():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.arange(50.0).reshape(5, 10))

    shuffled = with_random_weights(Scale()).scale
    assert shuffled.shape == (5, 10)
    assert shuffled.flatten().sort()[0].tolist() == list(range(50))
    assert not torch.equal(shuffled, Scale().scale)
