# SPDX-License-Identifier: Apache-2.0
"""A vision transformer written a second time, from the papers and as plainly as can be.

Attention by its formula, all tokens through all blocks, no images left out, positions by
``F.interpolate``. It takes the state dict of our ViT, and knows nothing else of it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def plain_vit(weights, image, *, heads, attentions=None):
    """Return the logits; add each block's attention to a list, if there is one."""
    tokens = plain_tokens(weights, image)
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    for i in range(depth):
        w = {n.removeprefix(f"blocks.{i}."): t for n, t in weights.items()}
        mixed, looks_at = attention(w, norm(w, "norm1", tokens), heads)
        tokens = tokens + mixed
        if attentions is not None:
            attentions.append(looks_at)
        hidden = F.gelu(linear(w, "mlp.fc1", norm(w, "norm2", tokens)))
        tokens = tokens + linear(w, "mlp.fc2", hidden)
    return linear(weights, "head", norm(weights, "norm", tokens)[:, 0])


def plain_tokens(w, image):
    kernel = w["patch_embed.proj.weight"]
    side = kernel.shape[-1]
    patches = F.unfold(image, side, stride=side).transpose(1, 2)  # rows first, as in an image
    patches = patches @ kernel.flatten(1).T + w["patch_embed.proj.bias"]
    first = w["cls_token"].expand(len(image), -1, -1)
    size = (image.shape[2] // side, image.shape[3] // side)
    return torch.cat((first, patches), dim=1) + plain_positions(w["pos_embed"], size)


def plain_positions(positions, size):
    side = math.isqrt(positions.shape[1] - 1)
    grid = positions[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    if size != (side, side):
        grid = F.interpolate(grid, size, mode="bicubic", align_corners=False)
    return torch.cat((positions[:, :1], grid.flatten(2).transpose(1, 2)), dim=1)


def attention(w, tokens, heads):
    q, k, v = linear(w, "attn.qkv", tokens).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
    mixed = (weights @ v).permute(0, 2, 1, 3).flatten(2)
    return linear(w, "attn.proj", mixed), weights


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w, name, x):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-6) * w[f"{name}.weight"] + w[f"{name}.bias"]
