# SPDX-License-Identifier: Apache-2.0
import logging

import pytest
import torch
from safetensors.torch import save_file

from monai_kd.networks import WithFeatures, build_backbone, load_pretrained
from monai_kd.utils import MonaiKDError

NAME = "resnet10-w16"


def network(**changes):
    return build_backbone(NAME, **({"num_findings": 3, "in_channels": 1} | changes)).eval()


@pytest.fixture
def source():
    torch.manual_seed(1)
    source = network(num_findings=10, in_channels=3)
    for name, buffer in source.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return source


def save(tensors, path):
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("ending", [".pt", ".pth", ".safetensors"])
def test_the_same_network_answers_the_same(source, tmp_path, ending):
    path = save(source.state_dict(), tmp_path / f"w{ending}")
    twin = network(num_findings=10, in_channels=3)
    report = load_pretrained(twin, path)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(twin(image), source(image))
    assert (report.missing, report.unexpected, report.reshaped, report.head) == ((), (), (), "")


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: {"state_dict": state, "epoch": 3}, id="state_dict"),
        pytest.param(lambda state: {"model": state}, id="model"),
        pytest.param(lambda state: {f"module.{k}": v for k, v in state.items()}, id="DDP"),
        pytest.param(
            lambda state: {"model": {f"module.network.{k}": v for k, v in state.items()}},
            id="DDP of WithFeatures in a checkpoint",
        ),
    ],
)
def test_unwraps_what_others_save(source, tmp_path, wrap):
    path = save(wrap(source.state_dict()), tmp_path / "w.pt")
    twin = network(num_findings=10, in_channels=3)
    load_pretrained(twin, path)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(twin(image), source(image))


def test_one_channel_sees_a_grey_picture_as_three_equal_channels_did(source, tmp_path):
    path = save(source.state_dict(), tmp_path / "w.pt")
    folded = network(in_channels=1)
    report = load_pretrained(folded, path)
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            folded.forward_features(grey), source.forward_features(grey.expand(-1, 3, -1, -1))
        )
    assert report.reshaped == ("conv1.weight",)


def test_three_channels_see_a_grey_picture_as_one_channel_did(source, tmp_path):
    one = network(in_channels=1)
    path = save(one.state_dict(), tmp_path / "w.pt")
    three = network(in_channels=3)
    load_pretrained(three, path)
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            three.forward_features(grey.expand(-1, 3, -1, -1)), one.forward_features(grey)
        )


def test_says_in_one_line_what_is_new(source, tmp_path, caplog):
    path = save(source.state_dict(), tmp_path / "secret-name.pt")
    fresh = network(in_channels=3)
    before = fresh.fc.weight.clone()
    with caplog.at_level(logging.INFO, logger="monai_kd"):
        report = load_pretrained(fresh, path)
    # 12 convolutions, 12 norms of 4 tensors each, and the last layer of 2
    assert caplog.messages == ["loaded 60 of 62 tensors; fc.* is new (10 -> 3 classes)"]
    assert report.missing == ("fc.weight", "fc.bias")
    assert torch.equal(fresh.fc.weight, before)
    assert "secret-name" not in caplog.text


def test_a_file_without_head_or_counters_is_no_reason_to_complain(source, tmp_path):
    state = source.state_dict()
    state = {k: v for k, v in state.items() if "fc." not in k and "num_batches" not in k}
    report = load_pretrained(network(in_channels=3), save(state, tmp_path / "w.pt"))
    assert str(report) == "loaded 60 of 62 tensors; fc.* is new (3 classes)"


def test_names_what_has_no_place_and_what_is_absent(source, tmp_path):
    state = source.state_dict()
    state["neck.weight"] = state.pop("layer1.0.conv1.weight")
    report = load_pretrained(network(in_channels=3), save(state, tmp_path / "w.pt"))
    assert "1 not in the file, first layer1.0.conv1.weight" in str(report)
    assert "1 of the file have no place, first neck.weight" in str(report)


def no_weights(path):
    path.write_text("<html>not found</html>")


@pytest.mark.parametrize(
    ("file", "write", "message"),
    [
        ("w.pt", lambda p: None, "`pretrained_path` must be a file"),
        ("w.onnx", no_weights, r"must end in .pt, .*, got \.onnx"),
        ("w.pt", no_weights, "must hold tensors only"),
        ("w.safetensors", no_weights, "must hold tensors only"),
        ("w.pt", lambda p: torch.save(network(), p), "must hold tensors only"),
        ("w.pt", lambda p: torch.save({"epoch": 3}, p), "this file has no tensors"),
        ("w.pt", lambda p: torch.save([1, 2], p), "this file has no tensors"),
        ("w.pt", lambda p: torch.save({"a": torch.ones(1)}, p), "none of the 1 tensors"),
        (
            "w.pt",
            lambda p: torch.save(build_backbone("resnet10", num_findings=3).state_dict(), p),
            r"have another shape, first `conv1.weight`, \(64, 1, 7, 7\) instead of",
        ),
    ],
)
def test_refuses_a_file_that_cannot_be_used(tmp_path, file, write, message):
    path = tmp_path / file
    write(path)
    with pytest.raises(MonaiKDError, match=message) as error:
        load_pretrained(network(), path)
    assert str(tmp_path) not in str(error.value)


def test_build_backbone_loads_the_file(source, tmp_path):
    path = save(WithFeatures(source).state_dict(), tmp_path / "w.pt")
    twin = network(num_findings=10, in_channels=3, pretrained_path=path)
    assert torch.equal(twin.fc.weight, source.fc.weight)


def test_knows_the_names_of_torchvision_and_timm():
    dense = build_backbone("densenet121", num_findings=2)
    efficient = build_backbone("efficientnet-b1", num_findings=2)
    for net, theirs, ours in [
        (dense, "classifier.bias", "class_layers.out.bias"),
        (dense, "features.denseblock2.denselayer3.conv2.weight",
         "features.denseblock2.denselayer3.layers.conv2.weight"),
        (dense, "features.denseblock2.denselayer3.norm.1.weight",
         "features.denseblock2.denselayer3.layers.norm1.weight"),
        (dense, "features.transition1.norm.bias", "features.transition1.norm.bias"),
        (efficient, "conv_stem.weight", "_conv_stem.weight"),
        (efficient, "bn2.running_var", "_bn1.running_var"),
        (efficient, "classifier.weight", "_fc.weight"),
        (efficient, "blocks.0.1.bn1.weight", "_blocks.0.1._bn1.weight"),
        (efficient, "blocks.0.1.conv_pw.weight", "_blocks.0.1._project_conv.weight"),
        (efficient, "blocks.1.2.conv_pw.weight", "_blocks.1.4._expand_conv.weight"),
        (efficient, "blocks.1.0.se.conv_reduce.bias", "_blocks.1.2._se_reduce.bias"),
        (efficient, "_blocks.4._bn0.weight", "_blocks.1.4._bn0.weight"),
        (efficient, "_blocks.1.4._bn0.weight", "_blocks.1.4._bn0.weight"),
        (efficient, "_blocks.999._bn0.weight", "_blocks.none.999._bn0.weight"),
    ]:  # fmt: skip
        assert net.rename_pretrained(theirs) == ours
        assert "none" in ours or ours in net.state_dict()


def test_a_file_with_a_part_of_the_network_is_refused(source, tmp_path):
    part = {name: value for name, value in source.state_dict().items() if "layer1" in name}
    with pytest.raises(MonaiKDError, match=r"must hold the weights of a \w+, got \d+ of its \d+"):
        load_pretrained(network(), save(part, tmp_path / "part.pt"))


def test_layers_that_the_network_does_not_have_are_warned_of(source, tmp_path, caplog):
    strange = {**source.state_dict(), "layer1.0.scale.gamma": torch.ones(3)}
    load_pretrained(network(), save(strange, tmp_path / "strange.pt"))
    assert "1 tensors of `pretrained_path` belong to layers that a" in caplog.text
    assert "layer1.0.scale.gamma" in caplog.text
