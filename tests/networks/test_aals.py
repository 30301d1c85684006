# SPDX-License-Identifier: Apache-2.0
import copy
import io
from collections import OrderedDict

import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from torch import nn

from monai_kd.networks import (
    AALSNetwork,
    EMATeacher,
    MapMemory,
    WithMaps,
    build_aals_network,
    build_backbone,
)
from monai_kd.utils import MonaiKDError

NAME = "resnet10-w16"


def small(seed=0, **changes):
    torch.manual_seed(seed)
    return build_aals_network(NAME, **({"num_findings": 2, "channels": 16} | changes))


@pytest.fixture(scope="module")
def network():
    return small().eval()


@pytest.mark.parametrize(
    ("size", "cells"),
    [((64, 64), (16, 16)), ((33, 33), (9, 9)), ((100, 130), (25, 33)), ((32, 45), (8, 12))],
)
def test_any_size_has_a_map_of_a_quarter_rounded_up(network, size, cells):
    image = torch.rand(2, 1, *size)
    with torch.no_grad():
        maps = network.forward_map(image)
        assert maps.shape == (2, 2, *cells)
        assert torch.equal(network.image_logits(maps), network(image))
    assert network(image).shape == (2, 2)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_basic_blocks_and_bottlenecks_fit(name):
    network = build_aals_network(name, num_findings=3, channels=8)
    channels = [block.in_channels for block in network.pyramid.inner_blocks]
    assert channels == ([64, 128, 256, 512] if name == "resnet18" else [256, 512, 1024, 2048])
    assert network.forward_map(torch.rand(2, 1, 64, 64)).shape == (2, 3, 16, 16)


@pytest.mark.parametrize("pooling", ["max", "lse"])
@pytest.mark.parametrize("prior", [0.01, 0.2])
def test_every_cell_and_image_starts_near_the_prior(prior, pooling):
    network = small(prior=prior, pooling=pooling)
    image = torch.rand(4, 1, 64, 64)
    cells = network.forward_map(image).sigmoid()
    assert cells.mean().item() == pytest.approx(prior, rel=0.2)
    whole = network(image).sigmoid()
    assert ((whole > 0.7 * prior) & (whole < 2 * prior)).all()


def test_the_last_layer_alone_says_the_prior():
    last = small(prior=0.05).head[-1]
    assert last.bias.sigmoid().tolist() == pytest.approx([0.05, 0.05])
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.4)


def test_the_maximum_is_the_image(network):
    maps = torch.randn(3, 2, 5, 7)
    expected = [[max(finding.flatten().tolist()) for finding in film] for film in maps]
    assert network.image_logits(maps).tolist() == expected
    half = network.image_logits(maps.bfloat16())
    assert half.dtype == torch.float32
    assert torch.equal(half, maps.bfloat16().float().amax((2, 3)))


def of_sharpness(sharpness):
    backbone = build_backbone(NAME, num_findings=1)
    return AALSNetwork(
        backbone, num_findings=2, channels=8, pooling="lse", sharpness=sharpness
    ).image_logits


def test_the_smooth_maximum_by_its_formula():
    maps = torch.randn(3, 2, 5, 7).double()
    expected = (maps * 10).exp().mean((2, 3)).log() / 10
    found = small(pooling="lse").image_logits(maps)
    torch.testing.assert_close(found, expected.float())


def test_the_smooth_maximum_lies_between_mean_and_maximum():
    maps = torch.randn(3, 2, 5, 7)
    torch.testing.assert_close(of_sharpness(1e6)(maps), maps.amax((2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(of_sharpness(1e-3)(maps), maps.mean((2, 3)), atol=1e-3, rtol=0)
    between = of_sharpness(3.0)(maps)
    assert ((between < maps.amax((2, 3))) & (between > maps.mean((2, 3)))).all()
    flat = torch.full((1, 1, 4, 4), -3.0)  # a map without structure is what each cell says
    torch.testing.assert_close(of_sharpness(10.0)(flat), torch.tensor([[-3.0]]))


def test_the_pyramid_is_that_of_monai(network):
    theirs = FeaturePyramidNetwork(2, [16, 32, 64, 128], 16)
    weights = network.pyramid.state_dict()
    kept = {
        name: weights.get(name, tensor) for name, tensor in theirs.state_dict().items()
    }  # the outputs of the coarser levels keep weights of their own
    theirs.load_state_dict(kept)
    for size in (64, 100):
        with torch.no_grad():
            stages = network.backbone.forward_stages(torch.rand(2, 1, size, size + 30))
            levels = theirs(OrderedDict(enumerate(stages)))
            torch.testing.assert_close(network.pyramid(stages), levels[0])
    assert {name for name in kept if name not in weights} == {
        f"layer_blocks.{level}.{what}" for level in (1, 2, 3) for what in ("weight", "bias")
    }


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("pooling", ["max", "lse"])
def test_every_parameter_learns(norm, pooling):
    network = small(norm=norm, pooling=pooling)
    network.forward_map(torch.rand(2, 1, 64, 64)).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert silent == []
    assert not any(name.startswith("backbone.fc") for name in network.state_dict())
    assert all(p.grad.count_nonzero() for p in network.parameters())


@pytest.mark.parametrize("pooling", ["max", "lse"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_scripted_network_answers_alike_also_from_a_file(norm, pooling):
    network = small(norm=norm, pooling=pooling).eval()
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(network), file)
    file.seek(0)
    scripted = torch.jit.load(file)
    for size in ((64, 64), (33, 50)):
        image = torch.rand(2, 1, *size)
        with torch.no_grad():
            maps = network.forward_map(image)
            torch.testing.assert_close(scripted.forward_map(image), maps)
            torch.testing.assert_close(scripted(image), network(image))
            torch.testing.assert_close(scripted.image_logits(maps), network.image_logits(maps))


class Maps(nn.Module):
    """What is exported where the maps are wanted."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network.forward_map(image)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["maps", "max", "lse"])
def test_exports_to_onnx(what, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = small(pooling="lse" if what == "lse" else "max")
    network.train()(torch.rand(4, 1, 66, 100))  # batch statistics that are not those of the start
    network = (Maps(network) if what == "maps" else network).eval()
    image = torch.rand(2, 1, 66, 100)
    torch.onnx.export(network, (image,), tmp_path / "model.onnx", dynamo=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), network(image), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_bfloat16_stays_near_and_finite(norm):
    network = small(norm=norm).train()
    image = torch.rand(2, 1, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        maps = network.forward_map(image)
        logits = network.image_logits(maps)
    assert maps.dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    torch.testing.assert_close(maps.float(), network.forward_map(image), atol=0.05, rtol=0.02)


def test_group_norm_looks_at_one_film_alone():
    image = torch.rand(3, 1, 64, 64)
    for norm, alone in (("group", True), ("batch", False)):
        network = small(norm=norm).train()
        together, one = network.forward_map(image)[:1], network.forward_map(image[:1])
        assert torch.allclose(together, one, atol=1e-5) == alone


def torchvision_like():
    """A state dict with torchvision's names of a ResNet of one block per stage, 3 channels."""
    source = build_backbone(NAME, num_findings=1000, in_channels=3)
    torch.manual_seed(7)
    state = {}
    for name, tensor in source.state_dict().items():
        if tensor.is_floating_point():
            state[name] = torch.rand(tensor.shape) * 0.1
        else:
            state[name] = tensor
    return state


def test_a_file_of_the_backbone_loads(tmp_path):
    state = torchvision_like()
    torch.save(state, tmp_path / "resnet.pth")
    network = small(pretrained_path=tmp_path / "resnet.pth")
    ours = network.backbone.state_dict()
    same = [name for name in ours if torch.equal(ours[name], state.get(name, torch.zeros(())))]
    assert set(ours) - set(same) == {"conv1.weight"}
    torch.testing.assert_close(ours["conv1.weight"], state["conv1.weight"].sum(1, keepdim=True))
    image = torch.rand(1, 1, 64, 64)  # and a gray picture is seen as three equal channels were
    wide = build_backbone(NAME, num_findings=1000, in_channels=3).eval()
    wide.load_state_dict(state)
    with torch.no_grad():
        found = network.eval().backbone.forward_features(image)
        torch.testing.assert_close(found, wide.forward_features(image.expand(-1, 3, -1, -1)))
    with pytest.raises(MonaiKDError, match="`pretrained_path` must be a file"):
        small(pretrained_path=tmp_path / "none.pth")


def test_answers_with_maps_and_what_it_reads_from_them(network):
    image = torch.rand(2, 1, 64, 64)
    answer = WithMaps(network)(image)
    assert set(answer) == {"logits", "map_logits"}
    assert torch.equal(answer["map_logits"], network.forward_map(image))
    assert torch.equal(answer["logits"], network(image))
    answer["map_logits"].sum().backward()  # for training


def test_a_teacher_answers_with_maps_and_follows():
    student = WithMaps(small())
    teacher = EMATeacher(student)
    answer = teacher(torch.rand(1, 1, 64, 64))
    assert answer["map_logits"].shape == (1, 2, 16, 16)
    assert not answer["map_logits"].requires_grad
    with torch.no_grad():
        for tensor in student.parameters():
            tensor.add_(1)
    teacher.update(student, 0.0)
    pairs = zip(teacher.network.parameters(), student.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_keeps_the_maps_of_the_last_batch(network):
    memory = MapMemory(network)
    assert memory.map_logits is None
    for films in (3, 1):
        image = torch.rand(films, 1, 64, 64)
        with torch.autocast("cpu", torch.bfloat16, enabled=films == 1):
            logits = memory(image)
            assert torch.equal(logits, network(image))
        assert memory.map_logits.shape == (films, 2, 16, 16)
        assert memory.map_logits.dtype == torch.float32
        assert not memory.map_logits.requires_grad
        assert torch.equal(memory.map_logits.amax((2, 3)), logits)
    names = [name.removeprefix("network.") for name in memory.state_dict()]
    assert names == list(network.state_dict())  # and no maps among the weights


def test_a_teacher_that_an_evaluator_has_asked_stays_in_eval_mode():
    teacher = EMATeacher(WithMaps(small(norm="batch")))
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=[{"image": torch.rand(2, 1, 64, 64), "label": torch.zeros(2, 2)}],
        network=MapMemory(teacher.network.network),
    )
    before = copy.deepcopy(teacher.state_dict())
    evaluator.run()
    assert evaluator.network.map_logits is not None
    assert not any(module.training for module in teacher.modules())
    evaluator.network.network.forward_map(torch.rand(2, 1, 64, 64))  # past the teacher itself
    teacher(torch.rand(2, 1, 64, 64))
    after = teacher.state_dict()
    assert any("running_mean" in name for name in after)
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())


@pytest.mark.parametrize("training", [True, False])
def test_a_memory_takes_over_the_mode_of_its_network(training):
    network = small().train(training)
    assert MapMemory(network).training is training
    assert all(module.training is training for module in network.modules())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "densenet121"}, "`name` must be a ResNet, got 'densenet121'"),
        ({"name": "resnet19"}, "`name` must be one of"),
        ({"num_findings": 0}, "`num_findings` and `channels` must be at least 1, got 0 and 16"),
        ({"channels": 0}, "`num_findings` and `channels` must be at least 1, got 2 and 0"),
        ({"prior": 0.0}, r"`prior` must be in \(0, 1\), got 0.0"),
        ({"prior": 1.0}, r"`prior` must be in \(0, 1\), got 1.0"),
        ({"pooling": "mean"}, "`pooling` must be one of max, lse, got 'mean'"),
        ({"norm": "layer"}, "`norm` must be one of batch, group, got 'layer'"),
    ],
)
def test_refuses_what_it_cannot_build(settings, message):
    with pytest.raises(ValueError, match=message):
        build_aals_network(**({"name": NAME, "num_findings": 2, "channels": 16} | settings))


@pytest.mark.parametrize("sharpness", [0.0, -1.0, float("nan")])
def test_refuses_a_sharpness_that_is_none(sharpness):
    with pytest.raises(ValueError, match=f"`sharpness` must be above 0, got {sharpness}"):
        of_sharpness(sharpness)
