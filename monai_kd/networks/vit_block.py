# SPDX-License-Identifier: Apache-2.0
"""One block of a vision transformer: attention, then two linear layers, each added to its input.

Sources: see :mod:`monai_kd.networks.vit`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Block"]


class Block(nn.Module):
    """Norm, attention, sum; norm, two linear layers, sum.

    Args:
        dim: numbers per token, a multiple of ``heads``.
        heads: attention heads.
        drop_path: share of the images for which a half of the block is left out in training, in
            [0, 1). It is not computed for them; the others are scaled by ``1 / (1 - drop_path)``.
        class_only: whether only the class token, the first, is wanted after this block.
    """

    def __init__(
        self, dim: int, heads: int, *, drop_path: float = 0.0, class_only: bool = False
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.class_only = class_only
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = _Mlp(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens after the block, ``(B, T, D)``, or ``(B, 1, D)``.

        Args:
            tokens: ``(B, T, D)``.
        """
        share = self.drop_path if self.training else 0.0
        kept = _draw_kept(tokens, share)
        added = self.attn(self.norm1(_only(tokens, kept)), self.class_only)
        tokens = _add_to(tokens[:, :1] if self.class_only else tokens, added, kept, share)
        kept = _draw_kept(tokens, share)
        return _add_to(tokens, self.mlp(self.norm2(_only(tokens, kept))), kept, share)

    def with_attention(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens after the block, nothing left out, and its attention.

        Args:
            tokens: ``(B, T, D)``.

        Returns:
            Tokens as :meth:`forward` gives them, and the attention after softmax,
            ``(B, heads, T, T)`` or ``(B, heads, 1, T)``, in the graph of the tokens.
        """
        added, attention = self.attn.with_attention(self.norm1(tokens), self.class_only)
        tokens = (tokens[:, :1] if self.class_only else tokens) + added
        return tokens + self.mlp(self.norm2(tokens)), attention


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, class_only: bool) -> Tensor:
        query, key, value = self._split(tokens, class_only)
        mixed = query  # of no image: not every attention kernel takes that
        if query.shape[0] > 0:
            mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out

    def with_attention(self, tokens: Tensor, class_only: bool) -> tuple[Tensor, Tensor]:
        query, key, value = self._split(tokens, class_only)
        attention = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(dim=-1)
        out: Tensor = self.proj((attention @ value).transpose(1, 2).flatten(2))
        return out, attention

    def _split(self, tokens: Tensor, class_only: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, ``(B, heads, T, D / heads)``; only queries asked for."""
        if not class_only:
            query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        else:
            dim = tokens.shape[-1]
            query = F.linear(tokens[:, :1], self.qkv.weight[:dim], self.qkv.bias[:dim])
            rest = F.linear(tokens, self.qkv.weight[dim:], self.qkv.bias[dim:])
            key, value = rest.chunk(2, dim=-1)
        shape = (self.heads, -1)
        return (
            query.unflatten(-1, shape).transpose(1, 2),
            key.unflatten(-1, shape).transpose(1, 2),
            value.unflatten(-1, shape).transpose(1, 2),
        )


class _Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


def _draw_kept(tokens: Tensor, share: float) -> Tensor | None:
    """Return the numbers of the images that are not left out, or None for all of them.

    Drawn on the CPU: an accelerator would have to be waited for, to know how many there are.
    """
    if share == 0.0:
        return None
    kept = torch.nonzero(torch.rand(tokens.shape[0]) >= share).flatten()
    return kept.to(tokens.device, non_blocking=True)


def _only(tokens: Tensor, kept: Tensor | None) -> Tensor:
    if kept is None or kept.numel() == tokens.shape[0]:
        return tokens
    return tokens.index_select(0, kept)


def _add_to(tokens: Tensor, added: Tensor, kept: Tensor | None, share: float) -> Tensor:
    """Add what was computed, scaled so that its mean stays; where nothing was, nothing changes.

    An empty ``added`` takes part, too: its weights get a gradient of 0, not none.
    """
    if kept is None:
        return tokens + added
    if kept.numel() == tokens.shape[0]:
        return torch.add(tokens, added, alpha=1 / (1 - share))
    return tokens.index_add(0, kept, added.to(tokens.dtype), alpha=1 / (1 - share))
