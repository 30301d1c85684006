# SPDX-License-Identifier: Apache-2.0
"""Attention of transformers: against the papers' matrix products, MONAI's copy, and a planted one.

``Tiny`` is a transformer of two layers in plain torch; ``matrices`` multiplies whole T x T
matrices, as the papers write them, where the package carries one row.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import ViT
from torch import nn

from monai_kd.explain import attention_maps, attention_relevance, attention_rollout, explain


class Tiny(nn.Module):
    """Patches of 8, a class token, two layers of two heads, three findings."""

    def __init__(self, last_row_only=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Conv2d(1, 12, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.qkv = nn.ModuleList([nn.Linear(12, 36) for _ in range(2)])
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(12, 3)
        self.last_row_only = last_row_only

    def forward_attention(self, image):
        x = self.embed(image).flatten(2).transpose(1, 2) + 0
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        shown = []
        for number, layer in enumerate(self.qkv):
            query, key, value = (
                part.unflatten(-1, (2, 6)).transpose(1, 2)
                for part in layer(F.layer_norm(x, (12,))).chunk(3, dim=-1)
            )
            if self.last_row_only and number == 1:
                query, x = query[:, :, :1], x[:, :1]
            attention = (3 * query @ key.transpose(2, 3)).softmax(-1)
            shown.append(attention)
            x = x + (attention @ value).transpose(1, 2).flatten(2)
        return self.fc(self.drop(x[:, 0])), shown

    def forward(self, image):
        return self.forward_attention(image)[0]


def images(b=3, size=(24, 32)):
    return torch.randn(b, 1, *size, generator=torch.Generator().manual_seed(1))


def monai_vit(post_activation="x", **more):
    pytest.importorskip("einops", reason="MONAI's ViT needs it")
    torch.manual_seed(0)
    settings = {
        "in_channels": 1,
        "img_size": (24, 32),
        "patch_size": 8,
        "hidden_size": 12,
        "mlp_dim": 16,
        "num_layers": 2,
        "num_heads": 2,
        "classification": True,
        "num_classes": 3,
        "spatial_dims": 2,
        "dropout_rate": 0.3,
    }
    network = ViT(**(settings | more), post_activation=post_activation)
    for block in network.blocks:
        block.attn.qkv.weight.data.mul_(5)  # attention that is not flat
    return network


def scaled(row, size=(24, 32)):
    maps = row.reshape(len(row), -1, 3, 4)
    maps = F.interpolate(maps, size, mode="bilinear")
    return maps / maps.amax((2, 3), keepdim=True)


def matrices(network, image, finding=None):
    """Row of the class token of the product over layers, from whole matrices."""
    logits, layers = network.eval().forward_attention(image)
    eye = torch.eye(layers[0].shape[-1])
    product = eye.expand(len(image), -1, -1)
    for layer in layers:
        if finding is None:
            product = (layer.mean(1) / 2 + eye / 2) @ product
        else:
            (slope,) = torch.autograd.grad(logits[:, finding].sum(), layer, retain_graph=True)
            product = product + (slope * layer).relu().mean(1) @ product
    return scaled(product[:, 0, 1:].detach())


def test_rollout_is_the_product_of_the_paper():
    network = Tiny()
    torch.testing.assert_close(attention_rollout(network, images()), matrices(network, images()))


@pytest.mark.parametrize("finding", [0, 1, 2])
def test_relevance_is_the_product_of_the_paper(finding):
    network = Tiny()
    ours = attention_relevance(network, images(), finding=finding)
    torch.testing.assert_close(ours, matrices(network, images(), finding))
    assert ours.shape == (3, 1, 24, 32)


@pytest.mark.parametrize("method", ["rollout", "relevance"])
def test_a_last_layer_with_the_class_token_alone_gives_the_same(method):
    whole = explain(Tiny(), images(), finding=1, method=method)
    row = explain(Tiny(last_row_only=True), images(), finding=1, method=method)
    torch.testing.assert_close(row, whole)


def test_several_findings_are_those_asked_one_by_one():
    asked = torch.tensor([[0, 2], [1, 1], [2, 0]])
    together = attention_relevance(Tiny(), images(), finding=asked)
    alone = [attention_relevance(Tiny(), images(), finding=column) for column in asked.T]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))
    assert attention_rollout(Tiny(), images(), finding=asked).shape == (3, 2, 24, 32)


class OnePatch(nn.Module):
    """Finding c attends to patch c, and nothing else speaks for it."""

    def forward_attention(self, image):
        patches = F.avg_pool2d(image, 8).flatten(1)
        attention = torch.full((len(image), 1, 13, 13), 1 / 13) + 0 * patches.sum()
        values = F.one_hot(torch.arange(13)).float()[:, 1:]  # each patch votes for its own finding
        return (attention[:, 0] @ values)[:, 0], [attention]


def test_relevance_finds_the_patch_that_speaks_for_the_finding():
    for patch in (0, 5, 11):
        relevance = attention_relevance(OnePatch(), images(), finding=patch)
        coarse = F.avg_pool2d(relevance, 8).flatten(1)
        assert coarse.argmax(1).tolist() == [patch] * 3
        rollout = attention_rollout(OnePatch(), images(), finding=patch)
        assert rollout.min() > 0.999  # it knows no finding


def test_monai_vit_shows_the_attention_that_it_used():
    network = monai_vit(save_attn=True).eval()
    network(images())
    theirs = network.blocks[-1].attn.att_mat[:, :, 0, 1:]
    torch.testing.assert_close(attention_maps(network, images()), scaled(theirs))
    assert attention_maps(network, images()).shape == (3, 2, 24, 32)


def test_the_relevance_of_monai_vit_is_made_of_the_change_of_its_logit():
    """The slopes are measured: each number of each attention matrix is raised a little, once."""
    network = monai_vit().double().eval()
    image = images(1).double()
    shape = (2, 13, 13)  # heads, tokens, tokens
    steps = 1e-6 * torch.eye(2 * 13 * 13).double().view(-1, *shape)
    product = torch.eye(13).double()[None]
    for block in network.blocks:
        kept = []

        def raise_one(module, arguments, output, *, kept=kept):
            kept.append(output.detach()[0])
            return output + steps

        hook = block.attn.drop_weights.register_forward_hook(raise_one)
        raised = network(image.expand(len(steps), -1, -1, -1))[0][:, 2]
        hook.remove()
        slope = ((raised - network(image)[0][0, 2]) / 1e-6).detach().view(shape)
        product = product + (slope * kept[0]).relu().mean(0) @ product
    ours = attention_relevance(network, image, finding=2).double()
    torch.testing.assert_close(ours, scaled(product[:, 0, 1:]), atol=1e-3, rtol=0)


def test_a_tanh_behind_the_logits_is_left_aside():
    plain = attention_relevance(monai_vit(), images(), finding=1)
    tanh = monai_vit("Tanh")
    tanh.classification_head[0].load_state_dict(monai_vit().classification_head.state_dict())
    torch.testing.assert_close(attention_relevance(tanh, images(), finding=1), plain)


def test_patches_that_are_not_square():
    network = monai_vit(img_size=(16, 16), patch_size=(8, 2))
    assert explain(network, images(size=(16, 16)), finding=0).shape == (3, 1, 16, 16)


@pytest.mark.parametrize("make", [Tiny, monai_vit], ids=["ours", "monai"])
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_network_is_left_as_it_was_in_any_context(make, context):
    network = make().train()
    network.requires_grad_(False)
    with context():
        relevance = attention_relevance(network, images(), finding=0)
        rollout = attention_rollout(network, images())
        heads = attention_maps(network, images())
    assert not any(maps.requires_grad for maps in (relevance, rollout, heads))
    assert relevance.amax((1, 2, 3)).tolist() == [1, 1, 1]
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("ask", [attention_rollout, attention_relevance])
def test_a_finding_that_is_no_column_is_refused(ask):
    with pytest.raises(ValueError, match=rf"{ask.__name__}: `finding` must be in \[0, 2\], got 3"):
        ask(Tiny(), images(), finding=3)


@pytest.mark.parametrize("ask", [attention_rollout, attention_relevance])
def test_a_network_without_attention_is_refused(ask):
    with pytest.raises(TypeError, match=r"must have `forward_attention`.*got Linear"):
        ask(nn.Linear(2, 2), images(), finding=0)


class WithRegister(OnePatch):
    """An extra token that is no patch."""

    def forward_attention(self, image):
        logits, (attention,) = super().forward_attention(image)
        return logits, [F.pad(attention, (0, 1, 0, 1))]


def test_tokens_that_are_no_grid_are_refused():
    with pytest.raises(ValueError, match="must be a grid like the image, 24 x 32, got 13"):
        attention_rollout(WithRegister(), images())
