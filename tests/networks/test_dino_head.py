# SPDX-License-Identifier: Apache-2.0
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_kd.networks import DINOHead, EMATeacher


def head(**settings):
    torch.manual_seed(0)
    return DINOHead(6, **({"prototypes": 9, "hidden": 8, "bottleneck": 4} | settings))


# Oracle: methods.md 2.3, the published head for ViT-S.
def test_has_the_published_number_of_parameters():
    with torch.device("meta"):
        parameters = list(DINOHead(384).parameters())
    assert sum(p.numel() for p in parameters) == 22_352_128
    assert sum(p.numel() for p in parameters if p.requires_grad) == 22_286_592


# Oracle: torch's own layers, put together as in Caron et al., with torch's weight norm.
def test_answers_and_learns_as_layers_of_torch_do():
    ours = head().double()
    theirs = copy.deepcopy(ours.mlp)
    last = nn.utils.parametrizations.weight_norm(nn.Linear(4, 9, bias=False).double(), dim=0)
    last.parametrizations.weight.original0.data.fill_(1)
    last.parametrizations.weight.original1.data.copy_(ours.last_layer.weight_v.data)
    embedding = torch.randn(5, 6, dtype=torch.float64)
    expected = last(F.normalize(theirs(embedding), dim=-1, p=2))
    logits = ours(embedding) @ ours.prototypes().T
    torch.testing.assert_close(logits, expected)
    logits.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(
        ours.last_layer.weight_v.grad, last.parametrizations.weight.original1.grad
    )
    torch.testing.assert_close(ours.mlp[0].weight.grad, theirs[0].weight.grad)
    assert ours.last_layer.weight_g.grad is None


def test_projections_and_prototypes_have_length_1():
    ours = head()
    torch.testing.assert_close(ours(torch.randn(5, 6)).norm(dim=1), torch.ones(5))
    torch.testing.assert_close(ours.prototypes().norm(dim=1), torch.ones(9))
    assert ours.prototypes().requires_grad


def test_names_its_parameters_as_dino_does():
    names = {f"mlp.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")}
    assert set(head().state_dict()) == names | {"last_layer.weight_g", "last_layer.weight_v"}


def test_projections_are_float32_under_autocast():
    ours, embedding = head(), torch.randn(5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        projection, prototypes = ours(embedding), ours.prototypes()
    assert (projection.dtype, prototypes.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(projection.norm(dim=1), torch.ones(5))
    assert torch.equal(prototypes, ours.prototypes())


def test_can_be_copied_and_followed_after_a_forward_pass():
    ours = head()
    (ours(torch.randn(5, 6)).sum() + ours.prototypes().sum()).backward()
    teacher = EMATeacher(ours)
    with torch.no_grad():
        ours.last_layer.weight_v.add_(1)
    teacher.update(ours, 0.25)
    expected = ours.last_layer.weight_v - 0.25
    torch.testing.assert_close(teacher.network.last_layer.weight_v, expected.detach())
    torch.testing.assert_close(teacher.network.prototypes().norm(dim=1), torch.ones(9))


@pytest.mark.parametrize("name", ["in_features", "prototypes", "hidden", "bottleneck"])
def test_refuses_sizes_below_1(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        DINOHead(**({"in_features": 6} | {name: 0}))
