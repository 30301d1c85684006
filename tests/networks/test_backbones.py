# SPDX-License-Identifier: Apache-2.0
import io

import monai.networks.nets
import pytest
import torch

from monai_kd.networks import BACKBONES, build_backbone, check_view_sizes


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return build_backbone("resnet10-w16", num_findings=3, dropout=0.5)


# Oracle: parameter counts published with torchvision (resnet, densenet, efficientnet, convnext)
# for 3 channels and 1000 classes.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("convnext_tiny", 28_589_128),
        ("convnext_small", 50_223_688),
        ("densenet121", 7_978_856),
        ("efficientnet-b0", 5_288_548),
        ("efficientnet-b1", 7_794_184),
        ("resnet18", 11_689_512),
        ("resnet50", 25_557_032),
    ],
)
def test_has_the_published_number_of_parameters(name, parameters):
    with torch.device("meta") if not name.startswith("eff") else torch.device("cpu"):
        network = build_backbone(name, num_findings=1000, in_channels=3)
    assert sum(p.numel() for p in network.parameters()) == parameters


FAST = ["convnext_tiny", "densenet121", "efficientnet-b0", "resnet10-w16", "vit_mini_patch8"]


def side_of_features(name):
    return 1 if name.startswith("vit") else 2


EVERY = [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in BACKBONES]


@pytest.mark.parametrize("name", EVERY)
def test_every_backbone_keeps_the_interface_also_when_scripted(name):
    network = build_backbone(name, num_findings=3, dropout=0.5).eval()
    image, side = torch.rand(2, 1, 64, 64), side_of_features(name)
    scripted = torch.jit.script(network)
    with torch.no_grad():
        logits, features = network(image), network.forward_features(image)
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, 3)
        assert features.shape == (2, network.num_features, side, side)
        assert torch.equal(network.forward_head(features), logits)
        torch.testing.assert_close(scripted(image), logits)
        torch.testing.assert_close(scripted.forward_features(image), features)
        activation = scripted.class_activation(features)
        torch.testing.assert_close(activation, network.class_activation(features))
        assert activation.shape == (2, 3, side, side)
        pooled = scripted.pool(features)
        torch.testing.assert_close(pooled, network.pool(features))
        assert pooled.shape == (2, network.num_features)
        assert torch.equal(network.get_submodule(network.head_name)(pooled), logits)


def test_a_scripted_network_survives_the_file(small):
    small.eval()
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(small), file)
    file.seek(0)
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(torch.jit.load(file)(image), small(image))


@pytest.mark.parametrize("name", ["densenet121", "resnet10-w16"])
def test_the_mean_of_the_class_activation_is_the_logit(name):
    torch.manual_seed(0)
    network = build_backbone(name, num_findings=3, dropout=0.5).eval()
    with torch.no_grad():
        features = network.forward_features(torch.rand(2, 1, 96, 64))
        mean = network.class_activation(features).mean(dim=(2, 3))
        torch.testing.assert_close(mean, network.forward_head(features))


def test_the_class_activation_applies_the_norm_of_convnext_at_each_position():
    torch.manual_seed(0)
    network = build_backbone("convnext_tiny", num_findings=2).eval()
    features = torch.randn(1, 768, 2, 3)
    activation = network.class_activation(features)
    one = network.forward_head(features[:, :, 1:2, 2:3])
    torch.testing.assert_close(activation[:, :, 1, 2], one)


@pytest.mark.parametrize("name", FAST)
def test_dropout_acts_on_the_head_in_training_only(name):
    torch.manual_seed(0)
    network = build_backbone(name, num_findings=2, dropout=0.5)
    side = side_of_features(name)
    features = torch.rand(1, network.num_features, side, side)
    network.eval()
    assert torch.equal(network.forward_head(features), network.forward_head(features))
    network.train()
    assert not torch.equal(network.forward_head(features), network.forward_head(features))


@pytest.mark.parametrize("name", ["densenet121", "efficientnet-b0", "resnet10-w16", "resnet50"])
def test_adds_no_name_to_those_of_monai(name):
    names = build_backbone(name, num_findings=2).state_dict()
    first = {"densenet121": "features.conv0.weight", "efficientnet-b0": "_conv_stem.weight"}
    assert next(iter(names)) == first.get(name, "conv1.weight")
    assert not any("network." in key or "backbone." in key for key in names)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("densenet121", "DenseNet"), ("efficientnet-b0", "EfficientNet"), ("resnet10-w16", "ResNet")],
)
def test_answers_as_the_network_of_monai_does(name, theirs):
    torch.manual_seed(0)
    network = build_backbone(name, num_findings=3).train()
    for module in network.modules():  # so that each forward pass counts on its own batch
        if isinstance(module, torch.nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    image = torch.rand(2, 1, 64, 64)
    expected = getattr(monai.networks.nets, theirs).forward(network, image)
    torch.testing.assert_close(network(image), expected)


def test_skips_no_block_unless_asked():
    quiet = build_backbone("efficientnet-b0", num_findings=2)
    shares = [block.drop_connect_rate for stack in quiet._blocks for block in stack]
    assert set(shares) == {0.0}
    loud = build_backbone("efficientnet-b0", num_findings=2, drop_path=0.2)
    shares = [block.drop_connect_rate for stack in loud._blocks for block in stack]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(0.2 * 15 / 16)


def test_a_hook_on_feature_map_sees_the_features(small):
    small.eval()
    seen = []
    with torch.no_grad():
        handle = small.feature_map.register_forward_hook(lambda *call: seen.append(call[2]))
        image = torch.rand(1, 1, 64, 64)
        small(image)
        handle.remove()
        assert torch.equal(seen[0], small.forward_features(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet-18"}, "Did you mean `resnet18`"),
        ({"num_findings": 0}, "`num_findings` must be at least 1, got 0"),
        ({"in_channels": 0}, "`in_channels` must be at least 1, got 0"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\), got 1.0"),
        ({"drop_path": -0.1}, r"`drop_path` must be in \[0, 1\), got -0.1"),
        ({"drop_path": 0.1}, "`drop_path` must be 0 for resnet18, got 0.1"),
        ({"head": "mpl"}, "`head` must be one of linear, mlp, got 'mpl'. Did you mean `mlp`"),
    ],
)
def test_refuses_what_it_cannot_build(settings, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(**({"name": "resnet18", "num_findings": 2} | settings))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_exports_to_onnx(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = build_backbone(name, num_findings=3).eval()
    image = torch.rand(1, 1, 64, 64)
    torch.onnx.export(network, (image,), tmp_path / "model.onnx", dynamo=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), network(image), rtol=1e-3, atol=1e-5)


def test_sizes_that_the_patches_do_not_divide_are_refused_by_name():
    check_view_sizes("vit_tiny_patch16", spatial_size=224, local_size=96)
    check_view_sizes("resnet18", spatial_size=225)
    with pytest.raises(ValueError, match=r"`local_size` must be a multiple of 16 .* Take 96 or"):
        check_view_sizes("vit_tiny_patch16", spatial_size=224, local_size=100)
    with pytest.raises(ValueError, match="`backbone` must be one of"):
        check_view_sizes("resnet19", spatial_size=224)
