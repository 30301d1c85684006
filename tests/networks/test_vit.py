# SPDX-License-Identifier: Apache-2.0
import copy
import io

import pytest
import torch

from monai_kd.explain import attention_maps, choose_method, explain
from monai_kd.networks import ViT, build_backbone
from monai_kd.networks.vit_block import Block
from monai_kd.networks.vit_grid import resize_grid
from tests.networks.plain_vit import plain_positions, plain_vit

NAME = "vit_mini_patch8"  # 96 numbers, 4 blocks, 3 heads


def network(name=NAME, **settings):
    """With weights so large that attention is far from even."""
    torch.manual_seed(0)
    vit = build_backbone(name, **({"num_findings": 3} | settings)).eval()
    with torch.no_grad():
        for name, tensor in vit.named_parameters():
            if "norm" in name or name.endswith("bias"):
                tensor.add_(torch.randn_like(tensor), alpha=0.3)
            elif not name.startswith("patch_embed"):
                tensor.mul_(6)
    return vit


# Oracle: methods.md 2.3, cross-checked there by instantiating the published network.
def test_has_the_published_number_of_parameters():
    with torch.device("meta"):
        vit = build_backbone("vit_small_patch8", num_findings=1, in_channels=3, head="mlp")
    head = sum(p.numel() for p in vit.head.parameters())
    assert head == 164_609
    assert sum(p.numel() for p in vit.parameters()) - head == 21_670_272


# Oracle: parameter counts published with timm, for 3 channels, 224 px and 1000 classes.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vit_tiny_patch16", 5_717_416),
        ("vit_small_patch16", 22_050_664),
        ("vit_base_patch16", 86_567_656),
        ("vit_base_patch8", 86_576_872),
    ],
)
def test_has_as_many_parameters_as_timms(name, parameters):
    with torch.device("meta"):
        vit = build_backbone(name, num_findings=1000, in_channels=3)
    assert sum(p.numel() for p in vit.parameters()) == parameters


def test_names_its_parameters_as_dino_and_timm_do():
    with torch.device("meta"):
        names = set(ViT(dim=6, depth=2, heads=1, patch_size=56, in_channels=1, num_findings=2)
                    .state_dict())  # fmt: skip
    layers = ["patch_embed.proj", "norm", "head"]
    layers += [f"blocks.{i}.{layer}" for i in (0, 1) for layer in
               ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]  # fmt: skip
    expected = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert names == expected | {"cls_token", "pos_embed"}


@pytest.mark.parametrize("size", [(224, 224), (64, 64), (256, 128), (8, 8)])
def test_answers_as_the_plain_network_does(size):
    vit = network()
    image = torch.randn(2, 1, *size)
    with torch.no_grad():
        expected = plain_vit(vit.state_dict(), image, heads=3)
        torch.testing.assert_close(vit(image), expected, rtol=0, atol=1e-5)
        assert expected.std() > 0.1  # else anything would be near


def test_learns_as_the_plain_network_does():
    vit = network().train()  # nothing is dropped
    weights = {name: tensor.detach().requires_grad_() for name, tensor in vit.named_parameters()}
    image = torch.randn(2, 1, 64, 64)
    vit(image).square().sum().backward()
    plain_vit(weights, image, heads=3).square().sum().backward()
    for name, tensor in vit.named_parameters():
        torch.testing.assert_close(
            tensor.grad, weights[name].grad, rtol=1e-4, atol=1e-4 * float(tensor.grad.abs().max())
        )


def test_the_last_block_of_the_class_token_alone_is_that_of_all_tokens():
    torch.manual_seed(0)
    alone = Block(96, 3, class_only=True)
    whole = copy.deepcopy(alone)
    whole.class_only = False
    tokens = torch.randn(2, 65, 96)
    out = alone(tokens)
    assert out.shape == (2, 1, 96)
    torch.testing.assert_close(out, whole(tokens)[:, :1], rtol=0, atol=2e-6)


@pytest.mark.parametrize(("old", "rows", "columns"), [(28, 32, 32), (28, 16, 16), (14, 3, 20)])
def test_positions_are_interpolated_as_torch_does(old, rows, columns):
    torch.manual_seed(0)
    positions = torch.randn(1, 1 + old * old, 5, dtype=torch.float64)
    expected = plain_positions(positions, (rows, columns))
    torch.testing.assert_close(resize_grid(positions, old, rows, columns), expected)


def test_positions_stay_where_the_grid_fits():
    positions = torch.randn(1, 1 + 28 * 28, 5)
    assert resize_grid(positions, 28, 28, 28) is positions


def test_positions_keep_their_precision_under_autocast():
    positions = torch.randn(1, 1 + 28 * 28, 5)
    with torch.autocast("cpu", torch.bfloat16):
        resized = resize_grid(positions, 28, 8, 8)
    assert torch.equal(resized, resize_grid(positions, 28, 8, 8))


# Oracle: methods.md D7.
@pytest.mark.parametrize(("side", "tokens"), [(256, 1025), (128, 257)])
def test_has_one_token_per_patch_and_one_more(side, tokens):
    vit = network()
    with torch.no_grad():
        assert vit._tokens(torch.zeros(1, 1, side, side)).shape == (1, tokens, 96)


@pytest.mark.parametrize("size", [(60, 64), (64, 60)])
def test_refuses_sides_that_are_no_multiple_of_the_patch(size):
    message = f"multiples of the patch, 8 px, got {size[0]} x {size[1]}"
    with pytest.raises(ValueError, match=message):
        network()(torch.zeros(1, 1, *size))


def test_its_features_are_the_class_token_as_a_map_of_one_position():
    vit = network(dropout=0.5)
    image = torch.randn(2, 1, 64, 64)
    features = vit.forward_features(image)
    assert features.shape == (2, 96, 1, 1)
    assert torch.equal(vit.pool(features), features[:, :, 0, 0])
    torch.testing.assert_close(vit.class_activation(features)[:, :, 0, 0], vit(image))


def masked(block, tokens):
    """The block with stochastic depth by masking: all is computed, then multiplied by 0."""
    keep = 1 - block.drop_path

    def dropped(added):
        mask = torch.bernoulli(torch.full((len(added), 1, 1), keep)) / keep
        return added * mask

    rest = tokens[:, :1] if block.class_only else tokens
    tokens = rest + dropped(block.attn(block.norm1(tokens), block.class_only))
    return tokens + dropped(block.mlp(block.norm2(tokens)))


@pytest.mark.parametrize("class_only", [False, True])
def test_skipping_has_the_distribution_of_masking(class_only):
    torch.manual_seed(0)
    block = Block(8, 2, drop_path=0.4, class_only=class_only).train()
    tokens = torch.randn(1, 5, 8)
    same = tokens.expand(6000, -1, -1)
    with torch.no_grad():
        ours, theirs = block(same), masked(block, same)
    outcomes = torch.unique(theirs.round(decimals=4), dim=0)
    assert len(outcomes) == 4  # both halves, one, the other, none
    for outcome in outcomes:
        shares = [float((x - outcome).abs().amax((1, 2)).lt(1e-3).double().mean())
                  for x in (ours, theirs)]  # fmt: skip
        assert shares[0] == pytest.approx(shares[1], abs=0.03)  # 3 standard errors are 0.027
    if not class_only:
        untouched = (ours == tokens).all(2).all(1).double().mean()
        assert float(untouched) == pytest.approx(0.4 * 0.4, abs=0.02)


def test_a_batch_that_is_kept_whole_is_scaled_as_well():
    torch.manual_seed(0)
    block = Block(8, 2, drop_path=0.4).train()
    one, many = torch.randn(1, 5, 8), 200
    with torch.no_grad():
        alone = torch.cat([block(one) for _ in range(many)])  # kept whole, or not at all
        together = block(one.expand(many, -1, -1))
    for outcome in torch.unique(together.round(decimals=4), dim=0):
        assert float((alone - outcome).abs().amax((1, 2)).min()) < 1e-3


def test_images_that_are_left_out_are_not_computed():
    block = Block(8, 2, drop_path=0.5).train()
    seen = []
    block.attn.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    torch.manual_seed(0)
    for _ in range(50):
        block(torch.randn(20, 5, 8))
    assert 400 < sum(seen) < 600
    block.eval()(torch.randn(20, 5, 8))
    assert seen[-1] == 20


def test_weights_of_a_block_that_all_images_skip_get_a_gradient_of_zero():
    block = Block(8, 2, drop_path=0.999999).train()
    tokens = torch.randn(3, 5, 8, requires_grad=True)
    out = block(tokens)
    assert torch.equal(out, tokens)
    out.sum().backward()
    assert all(float(p.grad.abs().max()) == 0 for p in block.parameters())
    assert torch.equal(tokens.grad, torch.ones_like(tokens))


def test_the_first_block_is_never_skipped_and_the_last_most_often():
    shares = [block.drop_path for block in network(drop_path=0.3).blocks]
    assert shares == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("drop_path", [0.0, 0.4])
def test_learns_under_bfloat16_autocast(drop_path):
    vit = network(drop_path=drop_path)
    image = torch.randn(4, 1, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        logits = vit(image)
        torch.testing.assert_close(logits.float(), vit(image.bfloat16()).float(), rtol=0, atol=0.1)
        loss = vit.train()(image).float().square().sum()
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in vit.parameters())
    exact = vit.eval()(image).detach()
    assert float((logits.detach().float() - exact).abs().max()) < 0.05 * float(exact.abs().max())


def test_shows_the_attention_its_logits_were_made_of():
    vit = network().train()
    image = torch.randn(2, 1, 64, 32, requires_grad=True)
    logits, attention = vit.forward_attention(image)
    torch.testing.assert_close(logits, vit.eval()(image), rtol=0, atol=1e-5)
    assert [a.shape for a in attention] == [(2, 3, 33, 33)] * 3 + [(2, 3, 1, 33)]
    for a in attention:
        torch.testing.assert_close(a.sum(-1), torch.ones(a.shape[:-1]))
    slopes = torch.autograd.grad(logits[:, 1].sum(), attention)
    assert all(float(slope.abs().max()) > 0 for slope in slopes)


def test_its_attention_is_that_of_the_plain_network():
    vit = network()
    image = torch.randn(2, 1, 64, 32)
    expected = []
    with torch.no_grad():
        plain_vit(vit.state_dict(), image, heads=3, attentions=expected)
        _, attention = vit.forward_attention(image)
    expected[-1] = expected[-1][:, :, :1]
    for ours, theirs in zip(attention, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert float(expected[0].amax(-1).mean()) > 3 / 33  # far from even


def test_is_explained_by_its_attention():
    vit = network()
    assert choose_method(vit) == "relevance"
    image = torch.randn(2, 1, 64, 32)
    maps = explain(vit, image, finding=torch.tensor([[0, 2]] * 2))
    assert maps.shape == (2, 2, 64, 32)
    assert not torch.equal(maps[:, 0], maps[:, 1])
    assert explain(vit, image, finding=1, method="rollout").shape == (2, 1, 64, 32)
    assert attention_maps(vit, image).shape == (2, 3, 64, 32)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_scripted_network_takes_other_sizes_and_survives_the_file(head):
    vit = network(head=head, drop_path=0.2, dropout=0.1)
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(vit), file)
    file.seek(0)
    scripted = torch.jit.load(file)
    for shape in [(2, 1, 64, 64), (3, 1, 224, 32)]:
        image = torch.randn(shape)
        torch.testing.assert_close(scripted(image), vit(image), rtol=0, atol=1e-5)
    with pytest.raises(torch.jit.Error, match="multiples of the patch, 8 px, got 60 x 64"):
        scripted(torch.zeros(1, 1, 60, 64))


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, 224])
def test_exports_to_onnx_for_any_number_of_films(side, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    vit = network()
    given = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "dynamo": True}
    torch.onnx.export(vit, (torch.randn(2, 1, side, side),), tmp_path / "model.onnx", **given)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for films in (1, 3):
        image = torch.randn(films, 1, side, side)
        (logits,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), vit(image), rtol=1e-3, atol=1e-4)
