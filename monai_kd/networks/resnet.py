# SPDX-License-Identifier: Apache-2.0
"""ResNet for classification: MONAI's, with its features and head exposed.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from monai.networks.nets import ResNet
from torch import Tensor, nn

from monai_kd.networks.base import Backbone
from monai_kd.utils import check_choice

__all__ = ["ResNetBackbone"]

_NORMS: dict[str, str | tuple[Any, ...]] = {
    "batch": "batch",
    "group": ("group", {"num_groups": 16}),
}


class ResNetBackbone(Backbone, ResNet):
    """MONAI's ResNet in 2D with the stem of the paper (stride 2); features come after ``layer4``.

    Names and arithmetic are those of torchvision and timm, so their ``resnet*`` files load.

    Args:
        block: ``"basic"`` or ``"bottleneck"``.
        layers: blocks in each of the four stages.
        width: channels of the first stage; 64 in the paper.
        in_channels: channels of the image.
        num_findings: outputs.
        dropout: share of the pooled features that is dropped before the last layer, in [0, 1).
        norm: ``"batch"``, or ``"group"`` (16 groups), which does not depend on the batch: for small
            batches without pretrained weights (Wu and He, "Group Normalization", ECCV 2018).

    Raises:
        ValueError: if ``norm`` is another word.
    """

    stem_name: ClassVar[str] = "conv1.weight"
    head_name: ClassVar[str] = "fc"

    def __init__(
        self,
        block: str,
        layers: list[int],
        *,
        width: int = 64,
        in_channels: int,
        num_findings: int,
        dropout: float = 0.0,
        norm: str = "batch",
    ) -> None:
        check_choice("ResNetBackbone", "norm", norm, _NORMS)
        self.norm = norm  # before the stages are made
        super().__init__(
            block=block,
            layers=layers,
            block_inplanes=[width, 2 * width, 4 * width, 8 * width],
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            num_classes=num_findings,
            bias_downsample=False,
            norm=_NORMS[norm],
        )
        self.num_features = 8 * width * (4 if block == "bottleneck" else 1)
        self.feature_map = nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def _make_layer(self, *args: Any, **kwargs: Any) -> nn.Sequential:
        """Make a stage; MONAI's constructor forgets to pass ``norm`` on to it."""
        return super()._make_layer(*args, **kwargs | {"norm": _NORMS[self.norm]})

    @torch.jit.export
    def forward_features(self, image: Tensor) -> Tensor:
        """Return the map after ``layer4``, ``(B, D, H / 32, W / 32)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        features: Tensor = self.feature_map(self.forward_stages(image)[3])
        return features

    @torch.jit.export
    def forward_stages(self, image: Tensor) -> list[Tensor]:
        """Return the maps after each of the four stages, at 1/4, 1/8, 1/16 and 1/32 of the size.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        x = self.maxpool(self.act(self.bn1(self.conv1(image))))
        first = self.layer1(x)
        second = self.layer2(first)
        third = self.layer3(second)
        return [first, second, third, self.layer4(third)]

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
        logits: Tensor = self.fc(self.dropout(self.pool(features)))  # type: ignore[misc]
        return logits

    @torch.jit.export
    def class_activation(self, features: Tensor) -> Tensor:
        """Return the class-activation map, ``(B, C, h, w)``; its mean is the logit.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        channels_last = features.permute(0, 2, 3, 1)
        activation: Tensor = self.fc(channels_last)  # type: ignore[misc]
        return activation.permute(0, 3, 1, 2)
