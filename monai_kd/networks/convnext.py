# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt for classification, with the parameter names of timm's weight files.

Source: Liu et al., "A ConvNet for the 2020s", CVPR 2022, https://arxiv.org/abs/2201.03545
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.networks.base import Backbone

__all__ = ["ConvNeXt"]

# Names of the authors' own files, and what timm (and we) call the same tensor.
_AUTHORS_NAMES = (
    (r"^downsample_layers\.0\.", "stem."),
    (r"^downsample_layers\.(\d)\.", r"stages.\1.downsample."),
    (r"^stages\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"\.dwconv\.", ".conv_dw."),
    (r"\.pwconv(\d)\.", r".mlp.fc\1."),
    (r"^norm\.", "head.norm."),
    (r"^head\.(weight|bias)$", r"head.fc.\1"),
)


class ConvNeXt(Backbone):
    """ConvNeXt; its features are the map before the norm of the head.

    Files of timm (``convnext_tiny``, ``convnext_small``) and of the authors load by name.

    Args:
        depths: blocks in each of the four stages.
        widths: channels of each stage.
        in_channels: channels of the image.
        num_findings: outputs.
        dropout: share of the pooled features that is dropped before the last layer, in [0, 1).
        drop_path: share of the images that skip the last block in training, in [0, 1); the blocks
            before it are skipped less, linearly from 0.
    """

    stem_name: ClassVar[str] = "stem.0.weight"
    head_name: ClassVar[str] = "head.fc"

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        *,
        in_channels: int,
        num_findings: int,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_features = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], kernel_size=4, stride=4), _ChannelNorm(widths[0])
        )
        step = drop_path / max(sum(depths) - 1, 1)
        shares = [[step * (sum(depths[:i]) + j) for j in range(d)] for i, d in enumerate(depths)]
        before = (widths[0], *widths[:-1])
        self.stages = nn.Sequential(
            *(
                _Stage(before[i], widths[i], stride=1 if i == 0 else 2, drop_path=shares[i])
                for i in range(len(depths))
            )
        )
        self.feature_map = nn.Identity()
        self.head = _Head(widths[-1], num_findings, dropout)
        self.apply(_initialize)

    @torch.jit.export
    def forward_features(self, image: Tensor) -> Tensor:
        """Return the map before the norm of the head, ``(B, D, H / 32, W / 32)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        features: Tensor = self.feature_map(self.stages(self.stem(image)))
        return features

    @torch.jit.export
    def pool(self, features: Tensor) -> Tensor:
        """Return the mean over the positions after the norm of the head, ``(B, D)``.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        return self.head.pool(features)

    @torch.jit.export
    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits, ``(B, C)``: pooling, norm, dropout, linear layer.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        logits: Tensor = self.head(features)
        return logits

    @torch.jit.export
    def class_activation(self, features: Tensor) -> Tensor:
        """Return norm and linear layer applied at each position, ``(B, C, h, w)``.

        The norm makes it differ from pooling first: the mean over the positions is near the logit,
        not equal to it.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        channels_last = self.head.norm(features).permute(0, 2, 3, 1)
        activation: Tensor = self.head.fc(channels_last)
        return activation.permute(0, 3, 1, 2)

    def rename_pretrained(self, name: str) -> str:
        """Return timm's name for a name of the authors' files; timm's stay.

        Args:
            name: name in the file.
        """
        if re.match(r"^stages\.\d\.(blocks|downsample)\.", name):
            return name
        for pattern, ours in _AUTHORS_NAMES:
            name = re.sub(pattern, ours, name)
        return name


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of ``(B, C, h, w)``."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(
            x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return x.permute(0, 3, 1, 2)


class _DropPath(nn.Module):
    """Leave a block out for some images in training; scale it for the others."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if self.share == 0.0 or not self.training:
            return x
        kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.share
        return x * kept.to(x.dtype) / (1 - self.share)


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))
        self.drop_path = _DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_dw(x).permute(0, 2, 3, 1)
        y = self.mlp(self.norm(y)) * self.gamma
        out: Tensor = x + self.drop_path(y.permute(0, 3, 1, 2))
        return out


class _Stage(nn.Module):
    def __init__(self, before: int, width: int, *, stride: int, drop_path: Sequence[float]) -> None:
        super().__init__()
        if stride > 1:
            self.downsample: nn.Module = nn.Sequential(
                _ChannelNorm(before), nn.Conv2d(before, width, kernel_size=stride, stride=stride)
            )
        else:
            self.downsample = nn.Identity()
        self.blocks = nn.Sequential(*(_Block(width, share) for share in drop_path))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.downsample(x))
        return out


class _Head(nn.Module):
    def __init__(self, width: int, num_findings: int, dropout: float) -> None:
        super().__init__()
        self.norm = _ChannelNorm(width)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_findings)

    def pool(self, features: Tensor) -> Tensor:
        pooled: Tensor = self.norm(F.adaptive_avg_pool2d(features, 1))
        return pooled.flatten(1)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.drop(self.pool(features)))
        return logits


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
