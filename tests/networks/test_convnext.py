# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from monai_kd.networks import ConvNeXt, build_backbone

ONES = ("norm.weight", "gamma", "stem.1.weight", "downsample.0.weight")


def fill(network):
    """Give each tensor a wave that depends on its name's length and size only."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            wave = torch.arange(tensor.numel(), dtype=torch.float64).add(len(name)).sin()
            fan = tensor[0].numel() if tensor.ndim > 1 else 4
            tensor.copy_((name.endswith(ONES) + wave / fan**0.5).view(tensor.shape))


# Oracle: timm 1.0.31, create_model("convnext_tiny", num_classes=3, in_chans=1), filled alike.
def test_answers_as_timm_does_with_the_same_weights():
    network = build_backbone("convnext_tiny", num_findings=3).eval()
    fill(network)
    image = torch.arange(64 * 64, dtype=torch.float32).cos().view(1, 1, 64, 64)
    with torch.no_grad():
        features = network.forward_features(image)
        torch.testing.assert_close(
            network(image), torch.tensor([[5.70498, 0.31180, -5.45373]]), rtol=1e-4, atol=1e-5
        )
    assert features.mean().item() == pytest.approx(0.342814, rel=1e-4)
    assert features.std().item() == pytest.approx(15.68637, rel=1e-4)


def test_pools_before_the_norm_of_the_head():
    head = build_backbone("convnext_tiny", num_findings=3).head
    features = torch.randn(2, 768, 2, 2)
    normed = torch.nn.functional.layer_norm(features.mean(dim=(2, 3)), (768,), eps=1e-6)
    torch.testing.assert_close(head(features), head.fc(normed))


def tiny(**settings):
    return ConvNeXt((1, 2), (4, 8), in_channels=1, num_findings=2, **settings)


def test_names_its_parameters_as_timm_does():
    names = set(tiny().state_dict())
    block = ["conv_dw.weight", "conv_dw.bias", "norm.weight", "norm.bias", "gamma"]
    block += [f"mlp.fc{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")]
    expected = {f"{stage}.{rest}" for stage in ("stages.0.blocks.0", "stages.1.blocks.0",
                "stages.1.blocks.1") for rest in block}  # fmt: skip
    for layer in ("stem.0", "stem.1", "stages.1.downsample.0", "stages.1.downsample.1",
                  "head.norm", "head.fc"):  # fmt: skip
        expected |= {f"{layer}.weight", f"{layer}.bias"}
    assert names == expected


def test_starts_with_blocks_that_hardly_change_the_image():
    network = tiny()
    assert (network.stages[0].blocks[0].gamma == 1e-6).all()
    x = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(network.stages[0](x), x, rtol=0, atol=1e-4)


def test_skips_whole_blocks_for_some_images_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = tiny(drop_path=0.5).stages[1].blocks[1].drop_path
    out = drop.train()(torch.ones(4000, 1, 1, 1)).flatten()
    assert set(out.tolist()) == {0.0, 2.0}
    assert out.mean().item() == pytest.approx(1, abs=0.06)
    assert torch.equal(drop.eval()(out), out)


def test_the_first_block_is_never_skipped_and_the_last_most_often():
    network = tiny(drop_path=0.4)
    shares = [block.drop_path.share for stage in network.stages for block in stage.blocks]
    assert shares == pytest.approx([0, 0.2, 0.4])


def test_takes_the_names_of_the_authors_files():
    network = tiny()
    for theirs, ours in {
        "downsample_layers.0.0.weight": "stem.0.weight",
        "downsample_layers.1.1.bias": "stages.1.downsample.1.bias",
        "stages.1.1.dwconv.weight": "stages.1.blocks.1.conv_dw.weight",
        "stages.0.0.pwconv2.bias": "stages.0.blocks.0.mlp.fc2.bias",
        "stages.0.0.norm.bias": "stages.0.blocks.0.norm.bias",
        "stages.0.0.gamma": "stages.0.blocks.0.gamma",
        "norm.weight": "head.norm.weight",
        "head.weight": "head.fc.weight",
        "stages.1.blocks.1.mlp.fc1.weight": "stages.1.blocks.1.mlp.fc1.weight",
        "head.fc.weight": "head.fc.weight",
    }.items():
        assert network.rename_pretrained(theirs) == ours
        assert ours in network.state_dict()
