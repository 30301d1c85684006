# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from monai_kd.networks import build_backbone


# Oracle: the parameter count published with torchvision, for 3 channels and 1000 classes.
def test_resnet34_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = build_backbone("resnet34", num_findings=1000, in_channels=3)
    assert sum(p.numel() for p in network.parameters()) == 21_797_672
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]


def norms(network):
    return [module for module in network.modules() if isinstance(module, _ANY_NORM)]


_ANY_NORM = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)


@pytest.mark.parametrize("name", ["resnet10-w16", "resnet50"])
def test_group_norm_takes_the_place_of_every_batch_norm(name):
    batch = build_backbone(name, num_findings=2)
    group = build_backbone(name, num_findings=2, norm="group")
    assert {type(norm) for norm in norms(batch)} == {nn.BatchNorm2d}
    assert {type(norm) for norm in norms(group)} == {nn.GroupNorm}
    assert [norm.num_channels for norm in norms(group)] == [n.num_features for n in norms(batch)]
    assert {norm.num_groups for norm in norms(group)} == {16}
    assert list(group.buffers()) == []
    learned = [name for name, _ in batch.named_parameters()]
    assert [name for name, _ in group.named_parameters()] == learned


def test_group_norm_does_not_depend_on_what_else_is_in_the_batch():
    torch.manual_seed(0)
    image = torch.rand(3, 1, 64, 64)
    for norm, alone in (("group", True), ("batch", False)):
        network = build_backbone("resnet10-w16", num_findings=2, norm=norm).train()
        assert torch.allclose(network(image)[:1], network(image[:1]), atol=1e-5) == alone


def test_group_norm_by_its_formula():
    network = build_backbone("resnet10-w16", num_findings=1, norm="group")
    x = torch.randn(2, 32, 5, 5) * 3 + 1
    groups = x.reshape(2, 16, -1)
    unit = (groups - groups.mean(2, keepdim=True)) / groups.var(
        2, unbiased=False, keepdim=True
    ).add(1e-5).sqrt()
    torch.testing.assert_close(network.layer2[0].bn1(x), unit.reshape_as(x))


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("size", [(64, 64), (33, 70)])
def test_gives_the_maps_of_its_four_stages(norm, size):
    network = build_backbone("resnet10-w16", num_findings=2, norm=norm).eval()
    image = torch.rand(2, 1, *size)
    with torch.no_grad():
        stages = network.forward_stages(image)
        for level, stage in enumerate(stages):
            stride = 4 * 2**level
            expected = [-(-side // stride) for side in size]
            assert stage.shape == (2, 16 * 2**level, *expected)
        assert torch.equal(stages[3], network.forward_features(image))
        for level in (1, 2, 3):  # each is made of the one before
            torch.testing.assert_close(
                getattr(network, f"layer{level + 1}")(stages[level - 1]), stages[level]
            )
        scripted = torch.jit.script(network).forward_stages(image)
    torch.testing.assert_close(scripted, stages)


def test_refuses_another_norm():
    with pytest.raises(ValueError, match="ResNetBackbone: `norm` must be one of batch, group"):
        build_backbone("resnet18", num_findings=2, norm="layer")
    with pytest.raises(ValueError, match="`norm` must be 'batch' for densenet121, got 'group'"):
        build_backbone("densenet121", num_findings=2, norm="group")
