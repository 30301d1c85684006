# SPDX-License-Identifier: Apache-2.0
"""Vision transformer for classification, with the parameter names of DINO's and timm's files.

Source: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at
Scale", ICLR 2021, https://arxiv.org/abs/2010.11929. Two things are skipped that change no result:
the last block is computed for the class token alone, the only one the head reads, and a block is
not computed for the images that stochastic depth leaves out (Huang et al., ECCV 2016,
https://arxiv.org/abs/1603.09382).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from monai_kd.networks.base import Backbone
from monai_kd.networks.vit_block import Block
from monai_kd.networks.vit_grid import fit_grid, resize_grid

__all__ = ["ViT"]

_IMAGE_SIDE = 224  # the positional grid is made for it, as in the published files


class ViT(Backbone):
    """Vision transformer; its features are the class token after the last norm, one position.

    Files of DINO, DeiT and timm load by name. Any image size will do whose sides are multiples of
    the patch: the grid of positions, made for 224 px, is interpolated (bicubic). The attention
    can be asked for, see :meth:`forward_attention`.

    Args:
        dim: numbers per token, a multiple of ``heads``.
        depth: blocks.
        heads: attention heads in each block.
        patch_size: side of a patch in pixels.
        in_channels: channels of the image.
        num_findings: outputs.
        dropout: share of the class token that is dropped before the last layer, in [0, 1).
        drop_path: share of the images that skip the last block in training, in [0, 1); the blocks
            before it are skipped less, linearly from 0.
    """

    stem_name: ClassVar[str] = "patch_embed.proj.weight"
    head_name: ClassVar[str] = "head"

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        patch_size: int,
        in_channels: int,
        num_findings: int,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_features = dim
        self.patch_size = patch_size
        self.grid_side = _IMAGE_SIDE // patch_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + self.grid_side**2, dim))
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(in_channels, dim, kernel_size=patch_size, stride=patch_size)}
        )
        step = drop_path / max(depth - 1, 1)
        self.blocks = nn.ModuleList(
            Block(dim, heads, drop_path=step * i, class_only=i == depth - 1) for i in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.feature_map = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, num_findings)
        for tensor in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(tensor, std=0.02)
        self.apply(_initialize)

    @torch.jit.export
    def forward_features(self, image: Tensor) -> Tensor:
        """Return the class token after the last norm as a map of one position, ``(B, D, 1, 1)``.

        Args:
            image: ``(B, in_channels, H, W)``; both sides multiples of the patch.

        Raises:
            ValueError: if a side is no multiple of the patch.
        """
        tokens = self._tokens(image)
        for block in self.blocks:
            tokens = block(tokens)  # the last one gives the class token alone
        features: Tensor = self.feature_map(self.norm(tokens[:, 0])[:, :, None, None])
        return features

    @torch.jit.export
    def pool(self, features: Tensor) -> Tensor:
        """Return the class token, ``(B, D)``.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        return features.flatten(1)

    @torch.jit.export
    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits, ``(B, C)``: dropout, last layer.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        logits: Tensor = self.head(self.dropout(self.pool(features)))
        return logits

    @torch.jit.export
    def class_activation(self, features: Tensor) -> Tensor:
        """Return the logits without dropout as a map of one position, ``(B, C, 1, 1)``.

        Where the network looks is in its attention, see :func:`monai_kd.explain.explain`.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        activation: Tensor = self.head(features.permute(0, 2, 3, 1))
        return activation.permute(0, 3, 1, 2)

    def forward_attention(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, ``(B, C)``, and the attention they were made of.

        No block is left out, also in training. Slower than ``forward``: the attention matrices
        are made, and stay in the graph of the logits.

        Args:
            image: as in :meth:`forward_features`.

        Returns:
            Logits, and per block the attention after softmax, ``(B, heads, T, T)``; of the last
            block the row of the class token alone, ``(B, heads, 1, T)``. The class token is first.
        """
        tokens, attention = self._tokens(image), []
        for block in cast("Iterable[Block]", self.blocks):
            tokens, weights = block.with_attention(tokens)
            attention.append(weights)
        return self.forward_head(self.norm(tokens[:, 0])[:, :, None, None]), attention

    def fit_pretrained(self, name: str, tensor: Tensor) -> Tensor:
        """Return the positions of a file on this network's grid (bicubic); all else as it is.

        Args:
            name: our name of the tensor.
            tensor: as it is in the file.
        """
        return fit_grid(tensor, self.grid_side) if name == "pos_embed" else tensor

    def _tokens(self, image: Tensor) -> Tensor:
        """Class token and patches with their positions, ``(B, 1 + h * w, D)``."""
        height, width = image.shape[2], image.shape[3]
        if height % self.patch_size != 0 or width % self.patch_size != 0:
            raise ValueError(
                f"ViT: the sides of `image` must be multiples of the patch, {self.patch_size} px, "
                f"got {height} x {width}. Choose another image size."
            )
        rows, columns = height // self.patch_size, width // self.patch_size
        patches = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        positions = resize_grid(self.pos_embed, self.grid_side, rows, columns)
        tokens = torch.cat((self.cls_token.expand(image.shape[0], -1, -1), patches), dim=1)
        return tokens + positions


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
