# SPDX-License-Identifier: Apache-2.0
"""EfficientNet for classification: MONAI's, with its features and head exposed.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019, https://arxiv.org/abs/1905.11946
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from monai.networks.nets import EfficientNetBN
from torch import Tensor, nn

from monai_kd.networks.base import Backbone

__all__ = ["EfficientNetBackbone"]

# Names of timm's files, and what MONAI calls the same layer.
_TIMM_ENDS = {
    "conv_stem.": "_conv_stem.",
    "bn1.": "_bn0.",
    "conv_head.": "_conv_head.",
    "bn2.": "_bn1.",
    "classifier.": "_fc.",
}
_TIMM_BLOCK = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "se.conv_reduce": "_se_reduce",
    "se.conv_expand": "_se_expand",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_TIMM_FIRST_STACK = _TIMM_BLOCK | {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}


class EfficientNetBackbone(Backbone, EfficientNetBN):
    """MONAI's EfficientNet in 2D; features come after the last convolution, norm and swish.

    Files of EfficientNet-PyTorch and of timm's ``tf_efficientnet_b0``/``b1`` load and give the
    same numbers at the network's own image size (224 px, 240 px). Those of timm's
    ``efficientnet_b0``/``b1`` load too, but were trained with other padding and norm epsilon.

    Args:
        model_name: ``"efficientnet-b0"`` or ``"efficientnet-b1"``.
        in_channels: channels of the image.
        num_findings: outputs.
        dropout: share of the pooled features that is dropped before the last layer, in [0, 1).
        drop_path: share of the images that skip the last block in training, in [0, 1); the blocks
            before it are skipped less, linearly from 0.
    """

    stem_name: ClassVar[str] = "_conv_stem.weight"
    head_name: ClassVar[str] = "_fc"

    def __init__(
        self,
        model_name: str,
        *,
        in_channels: int,
        num_findings: int,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(
            model_name,
            pretrained=False,
            spatial_dims=2,
            in_channels=in_channels,
            num_classes=num_findings,
        )
        self.num_features = self._fc.in_features
        self.feature_map = nn.Identity()
        self._dropout.p = dropout
        # MONAI's swish cannot be scripted, and its standard one is slower than torch's.
        self._swish = nn.SiLU()
        blocks: list[Any] = [
            block for stack in self._blocks.children() for block in stack.children()
        ]
        for index, block in enumerate(blocks):
            block.add_module("_swish", nn.SiLU())
            block.drop_connect_rate = drop_path * index / len(blocks)

    @torch.jit.export
    def forward_features(self, image: Tensor) -> Tensor:
        """Return the map after the last convolution, norm and swish, ``(B, D, H / 32, W / 32)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        x = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(image))))
        x = self._conv_head(self._conv_head_padding(self._blocks(x)))
        features: Tensor = self.feature_map(self._swish(self._bn1(x)))
        return features

    @torch.jit.export
    def pool(self, features: Tensor) -> Tensor:
        """Return the mean over the positions, ``(B, D)``.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        return F.adaptive_avg_pool2d(features, 1).flatten(1)

    @torch.jit.export
    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits, ``(B, C)``: pooling, dropout, linear layer.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        logits: Tensor = self._fc(self._dropout(self.pool(features)))
        return logits

    @torch.jit.export
    def class_activation(self, features: Tensor) -> Tensor:
        """Return the class-activation map, ``(B, C, h, w)``; its mean is the logit.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        channels_last = features.permute(0, 2, 3, 1)
        activation: Tensor = self._fc(channels_last)
        return activation.permute(0, 3, 1, 2)

    def rename_pretrained(self, name: str) -> str:
        """Return MONAI's name for a name of EfficientNet-PyTorch or timm.

        Args:
            name: name in the file.
        """
        for timm, ours in _TIMM_ENDS.items():
            if name.startswith(timm):
                return ours + name[len(timm) :]
        block = re.match(r"^blocks\.(\d+)\.(\d+)\.(.+)\.(\w+)$", name)
        if block:  # timm: stack, place in the stack, layer, tensor
            stack, place, layer, tensor = block.groups()
            inside = _TIMM_FIRST_STACK if stack == "0" else _TIMM_BLOCK
            index = self._first_index(stack) + int(place)
            return f"_blocks.{stack}.{index}.{inside.get(layer, layer)}.{tensor}"
        block = re.match(r"^_blocks\.(\d+)\.(_.+)$", name)
        if block:  # EfficientNet-PyTorch: place in the network, the rest as ours
            stack = self._stack_of(block[1])
            return f"_blocks.{stack}.{block[1]}.{block[2]}"
        return name

    def _first_index(self, stack: str) -> int:
        return min(int(index) for index in dict(self._blocks.named_children())[stack]._modules)

    def _stack_of(self, index: str) -> str:
        stacks = self._blocks.named_children()
        return next((name for name, stack in stacks if index in stack._modules), "none")
