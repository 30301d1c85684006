# SPDX-License-Identifier: Apache-2.0
"""A network that says of each place of a film how likely a finding is there.

A ResNet's stages meet in a feature pyramid, whose finest level (a cell is 4 x 4 pixels) carries one
map per finding. The image's score is read from the map, so that whether and where are one answer.

Source: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017,
https://arxiv.org/abs/1612.03144; the start of the last layer at a small probability is that of Lin
et al., "Focal Loss for Dense Object Detection", ICCV 2017, https://arxiv.org/abs/1708.02002. Level,
head and pooling are ours, where Wang et al. (IPMI 2021) leave them open.
"""

from __future__ import annotations

import math
import os
from typing import cast

import torch
import torch.nn.functional as F
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from torch import Tensor, nn

from monai_kd.networks.backbones import build_backbone
from monai_kd.networks.resnet import ResNetBackbone
from monai_kd.utils import check_choice

__all__ = ["AALSNetwork", "MapMemory", "WithMaps", "build_aals_network"]

POOLINGS = ("max", "lse")
STRIDE = 4  # pixels of the image per cell of the map


class FinestLevel(FeaturePyramidNetwork):
    """MONAI's feature pyramid without the outputs of the coarser levels, which nobody reads.

    Args:
        in_channels: channels of each stage, the finest first.
        out_channels: channels of the pyramid.
    """

    def __init__(self, in_channels: list[int], out_channels: int) -> None:
        super().__init__(2, in_channels, out_channels)
        self.layer_blocks = self.layer_blocks[:1]

    def forward(self, stages: list[Tensor]) -> Tensor:  # type: ignore[override]
        """Return the finest level, ``(B, out_channels, h, w)``.

        Args:
            stages: feature maps, the finest first.
        """
        top_down = self.get_result_from_inner_blocks(stages[-1], -1)
        for index in range(len(stages) - 2, -1, -1):
            lateral = self.get_result_from_inner_blocks(stages[index], index)
            top_down = lateral + F.interpolate(top_down, lateral.shape[2:], mode="nearest")
        finest: Tensor = self.get_result_from_layer_blocks(top_down, 0)
        return finest


class AALSNetwork(nn.Module):
    """ResNet, feature pyramid, and a head with one map per finding.

    ``forward`` gives the logits of the images, so that metrics, export and engines work as with any
    classifier; :meth:`forward_map` gives the maps. Any image of at least 64 pixels is taken.

    Args:
        backbone: its stages are used, its last layer is dropped.
        num_findings: maps, at least 1.
        channels: of the pyramid and of the head.
        prior: probability that each cell starts at, in (0, 1): most of a film is no finding.
        pooling: how a map becomes the image's logit: ``"max"``, or ``"lse"``, a smooth maximum,
            ``log(mean(exp(sharpness * z))) / sharpness``.
        sharpness: of ``"lse"``, above 0; small values come near the mean, large ones the maximum.

    Raises:
        ValueError: if a setting is out of range.

    Example:
        >>> network = build_aals_network("resnet10-w16", num_findings=2, channels=16)
        >>> network.forward_map(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 2, 16, 16])
    """

    def __init__(
        self,
        backbone: ResNetBackbone,
        *,
        num_findings: int,
        channels: int = 256,
        prior: float = 0.01,
        pooling: str = "max",
        sharpness: float = 10.0,
    ) -> None:
        super().__init__()
        check_choice("AALSNetwork", "pooling", pooling, POOLINGS)
        if num_findings < 1 or channels < 1:
            raise ValueError(
                "AALSNetwork: `num_findings` and `channels` must be at least 1, got "
                f"{num_findings} and {channels}."
            )
        if not 0 < prior < 1:
            raise ValueError(
                f"AALSNetwork: `prior` must be in (0, 1), got {prior}. It is a probability; 0.01 "
                "is a good start."
            )
        if not sharpness > 0:
            raise ValueError(
                f"AALSNetwork: `sharpness` must be above 0, got {sharpness}. 10 is near the "
                "maximum."
            )
        backbone.fc = nn.Identity()  # type: ignore[assignment]  # the map's head takes its place
        self.backbone = backbone
        widest = backbone.num_features
        self.pyramid = FinestLevel([widest // 8, widest // 4, widest // 2, widest], channels)
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, num_findings, 1),
        )
        last = cast(nn.Conv2d, self.head[-1])
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(cast(Tensor, last.bias), math.log(prior / (1 - prior)))
        self.pooling = pooling
        self.sharpness = sharpness

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the images, ``(B, C)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        return self.image_logits(self.forward_map(image))

    @torch.jit.export
    def forward_map(self, image: Tensor) -> Tensor:
        """Return the maps of logits, ``(B, C, H / 4, W / 4)``, rounded up.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        maps: Tensor = self.head(self.pyramid(self.backbone.forward_stages(image)))
        return maps

    @torch.jit.export
    def image_logits(self, maps: Tensor) -> Tensor:
        """Return the logits of the images, ``(B, C)``, float32.

        Args:
            maps: logits, ``(B, C, h, w)``.
        """
        cells = maps.float().flatten(2)
        if self.pooling == "max":
            return cells.amax(2)
        count = math.log(float(cells.shape[2]))
        return (torch.logsumexp(self.sharpness * cells, 2) - count) / self.sharpness


class WithMaps(nn.Module):
    """Let a network answer with its maps and what it reads from them, in one forward pass.

    Args:
        network: kept, not copied; its own state dict stays the one to deliver.
    """

    def __init__(self, network: AALSNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` (B, C) and ``map_logits`` (B, C, h, w).

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        maps = self.network.forward_map(image)
        return {"logits": self.network.image_logits(maps), "map_logits": maps}


class MapMemory(nn.Module):
    """Answer with the logits of the images, and keep the maps of the last batch for handlers.

    Args:
        network: kept, not copied.

    Attributes:
        map_logits: maps of the last batch, ``(B, C, h, w)``, float32, detached; None before.
    """

    def __init__(self, network: AALSNetwork) -> None:
        super().__init__()
        self.network = network
        self.map_logits: Tensor | None = None
        self.train(network.training)  # or an evaluator would leave a teacher in training mode

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the images, ``(B, C)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        maps = self.network.forward_map(image)
        self.map_logits = maps.detach().float()
        return self.network.image_logits(maps)


def build_aals_network(
    name: str,
    *,
    num_findings: int,
    channels: int = 256,
    norm: str = "batch",
    prior: float = 0.01,
    pooling: str = "max",
    pretrained_path: str | os.PathLike[str] | None = None,
) -> AALSNetwork:
    """Build the network from the name of its backbone.

    Args:
        name: a ResNet of :data:`~monai_kd.networks.BACKBONES`.
        num_findings: maps, at least 1.
        channels: see :class:`AALSNetwork`.
        norm: ``"batch"``, or ``"group"``, which does not depend on what else is in the batch.
        prior: see :class:`AALSNetwork`.
        pooling: see :class:`AALSNetwork`.
        pretrained_path: weights of the backbone, see :func:`~monai_kd.networks.build_backbone`.

    Raises:
        ValueError: if there is no such network, it is no ResNet, or a setting is out of range.
        MonaiKDError: if the file cannot be used.
    """
    if not name.startswith("resnet"):
        raise ValueError(
            f"build_aals_network: `name` must be a ResNet, got {name!r}. Take resnet18, resnet34 "
            "or resnet50; a feature pyramid needs their four stages."
        )
    backbone = build_backbone(name, num_findings=1, norm=norm, pretrained_path=pretrained_path)
    return AALSNetwork(
        cast(ResNetBackbone, backbone),
        num_findings=num_findings,
        channels=channels,
        prior=prior,
        pooling=pooling,
    )
