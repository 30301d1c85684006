# SPDX-License-Identifier: Apache-2.0
"""DenseNet-121 for classification: MONAI's, with its features and head exposed.

Source: Huang et al., "Densely Connected Convolutional Networks", CVPR 2017,
https://arxiv.org/abs/1608.06993
"""

from __future__ import annotations

import re
from typing import ClassVar

import torch
import torch.nn.functional as F
from monai.networks.nets import DenseNet121
from torch import Tensor, nn

from monai_kd.networks.base import Backbone

__all__ = ["DenseNetBackbone"]


class DenseNetBackbone(Backbone, DenseNet121):
    """MONAI's DenseNet-121 in 2D; features come after ``norm5`` and its ReLU.

    Files of torchvision and timm (``densenet121``) load.

    Args:
        in_channels: channels of the image.
        num_findings: outputs.
        dropout: share of the pooled features that is dropped before the last layer, in [0, 1).
    """

    stem_name: ClassVar[str] = "features.conv0.weight"
    head_name: ClassVar[str] = "class_layers.out"

    def __init__(self, *, in_channels: int, num_findings: int, dropout: float = 0.0) -> None:
        super().__init__(spatial_dims=2, in_channels=in_channels, out_channels=num_findings)
        self.num_features = 1024
        self.feature_map = nn.Identity()
        self.dropout = nn.Dropout(dropout)

    @torch.jit.export
    def forward_features(self, image: Tensor) -> Tensor:
        """Return the map after ``norm5`` and ReLU, ``(B, 1024, H / 32, W / 32)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        features: Tensor = self.feature_map(F.relu(self.features(image)))
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
        pooled = self.dropout(self.pool(features))
        logits: Tensor = self.class_layers.out(pooled)  # type: ignore[operator]
        return logits

    @torch.jit.export
    def class_activation(self, features: Tensor) -> Tensor:
        """Return the class-activation map, ``(B, C, h, w)``; its mean is the logit.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        channels_last = features.permute(0, 2, 3, 1)
        activation: Tensor = self.class_layers.out(channels_last)  # type: ignore[operator]
        return activation.permute(0, 3, 1, 2)

    def rename_pretrained(self, name: str) -> str:
        """Return MONAI's name for a name of torchvision or timm.

        Args:
            name: name in the file.
        """
        name = re.sub(r"^classifier\.", "class_layers.out.", name)
        # "norm.1" and "conv.1" stand in the oldest files, "norm1" and "conv1" in all others.
        return re.sub(r"(denselayer\d+)\.(norm|conv)\.?([12])\.", r"\1.layers.\2\3.", name)
