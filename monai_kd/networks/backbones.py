# SPDX-License-Identifier: Apache-2.0
"""Classification networks by name: our ConvNeXt and ViT, and networks of MONAI.

MONAI's are subclassed, not wrapped: their parameters keep MONAI's names, without a prefix.

Weight files that load (``pretrained_path``), by family: ``convnext_*`` those of timm and of the
authors; ``resnet*`` torchvision's and timm's; ``densenet121`` torchvision's and timm's;
``efficientnet-*`` EfficientNet-PyTorch's and timm's ``tf_efficientnet_*``; ``vit_*`` DINO's,
DeiT's and timm's; and our own, of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from monai_kd.networks.base import Backbone
from monai_kd.networks.convnext import ConvNeXt
from monai_kd.networks.densenet import DenseNetBackbone
from monai_kd.networks.efficientnet import EfficientNetBackbone
from monai_kd.networks.heads import HEADS, put_head
from monai_kd.networks.resnet import ResNetBackbone
from monai_kd.networks.vit import ViT
from monai_kd.networks.weights import load_pretrained
from monai_kd.utils import check_choice

__all__ = ["BACKBONES", "build_backbone", "check_view_sizes"]

#: What :func:`build_backbone` builds; each takes ``in_channels``, ``num_findings``, ``dropout``.
BACKBONES: dict[str, Callable[..., Backbone]] = {
    "convnext_tiny": partial(ConvNeXt, (3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": partial(ConvNeXt, (3, 3, 27, 3), (96, 192, 384, 768)),
    "densenet121": DenseNetBackbone,
    "efficientnet-b0": partial(EfficientNetBackbone, "efficientnet-b0"),
    "efficientnet-b1": partial(EfficientNetBackbone, "efficientnet-b1"),
    "resnet10": partial(ResNetBackbone, "basic", [1, 1, 1, 1]),
    "resnet10-w16": partial(ResNetBackbone, "basic", [1, 1, 1, 1], width=16),
    "resnet18": partial(ResNetBackbone, "basic", [2, 2, 2, 2]),
    "resnet34": partial(ResNetBackbone, "basic", [3, 4, 6, 3]),
    "resnet50": partial(ResNetBackbone, "bottleneck", [3, 4, 6, 3]),
    "vit_base_patch16": partial(ViT, dim=768, depth=12, heads=12, patch_size=16),
    "vit_base_patch8": partial(ViT, dim=768, depth=12, heads=12, patch_size=8),
    "vit_mini_patch8": partial(ViT, dim=96, depth=4, heads=3, patch_size=8),
    "vit_small_patch16": partial(ViT, dim=384, depth=12, heads=6, patch_size=16),
    "vit_small_patch8": partial(ViT, dim=384, depth=12, heads=6, patch_size=8),
    "vit_tiny_patch16": partial(ViT, dim=192, depth=12, heads=3, patch_size=16),
    "vit_tiny_patch8": partial(ViT, dim=192, depth=12, heads=3, patch_size=8),
}
_WITH_DROP_PATH = ("convnext", "efficientnet", "vit")
_WITH_NORM = "resnet"


def build_backbone(
    name: str,
    *,
    num_findings: int,
    in_channels: int = 1,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    norm: str = "batch",
    head: str = "linear",
    pretrained_path: str | os.PathLike[str] | None = None,
) -> Backbone:
    """Build a classification network, with fresh weights or those of a file.

    Args:
        name: one of :data:`BACKBONES`; ``resnet10-w16`` (a quarter as wide as ``resnet10``) and
            ``vit_mini_patch8`` are for tests, quick looks and small CPUs.
        num_findings: outputs (logits), at least 1.
        in_channels: channels of the image, at least 1.
        dropout: share of the pooled features that is dropped before the last layer in training,
            in [0, 1); 0 drops none.
        drop_path: share of the images that skip the last block in training, in [0, 1), less for
            the blocks before it; 0 skips none. ConvNeXt, EfficientNet and ViT only.
        norm: ``"batch"``, or for a ResNet ``"group"``, see
            :class:`~monai_kd.networks.ResNetBackbone`. The others have the norm they have.
        head: ``"linear"``, one layer, or ``"mlp"``, three with ReLU between them: D, 256, 256,
            ``num_findings``.
        pretrained_path: local ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` or ``.safetensors`` file,
            see :func:`~monai_kd.networks.load_pretrained`; None starts from random weights.

    Raises:
        ValueError: if there is no such network, or a setting is out of range.
        MonaiKDError: if the file cannot be used.

    Example:
        >>> import torch
        >>> build_backbone("resnet10-w16", num_findings=3)(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 3])
    """
    check_choice("build_backbone", "name", name, BACKBONES)
    _check_settings(
        name, num_findings, in_channels, dropout=dropout, drop_path=drop_path, norm=norm
    )
    settings: dict[str, Any] = {
        "num_findings": num_findings,
        "in_channels": in_channels,
        "dropout": dropout,
    }
    if name.startswith(_WITH_DROP_PATH):
        settings["drop_path"] = drop_path
    if name.startswith(_WITH_NORM):
        settings["norm"] = norm
    check_choice("build_backbone", "head", head, HEADS)
    network = BACKBONES[name](**settings)
    put_head(network, head, num_findings=num_findings)
    if pretrained_path is not None:
        load_pretrained(network, pretrained_path)
    return network


def _check_settings(
    name: str, num_findings: int, in_channels: int, *, dropout: float, drop_path: float, norm: str
) -> None:
    for setting, count in (("num_findings", num_findings), ("in_channels", in_channels)):
        if count < 1:
            raise ValueError(f"build_backbone: `{setting}` must be at least 1, got {count}.")
    for setting, share in (("dropout", dropout), ("drop_path", drop_path)):
        if not 0 <= share < 1:
            raise ValueError(f"build_backbone: `{setting}` must be in [0, 1), got {share}.")
    if drop_path and not name.startswith(_WITH_DROP_PATH):
        raise ValueError(
            f"build_backbone: `drop_path` must be 0 for {name}, got {drop_path}. Only "
            f"{', '.join(_WITH_DROP_PATH)} networks have blocks that can be skipped."
        )
    if norm != "batch" and not name.startswith(_WITH_NORM):
        raise ValueError(
            f"build_backbone: `norm` must be 'batch' for {name}, got {norm!r}. Only ResNets have "
            "the choice."
        )


def check_view_sizes(backbone: str, **sizes: int) -> None:
    """Refuse sizes of images that a network cannot take, before anything is prepared.

    Args:
        backbone: one of :data:`BACKBONES`.
        sizes: sides in pixels by the names of the settings, e.g. ``spatial_size=256``.

    Raises:
        ValueError: if there is no such network, or a side is no multiple of its patches'.
    """
    check_choice("check_view_sizes", "backbone", backbone, BACKBONES)
    _, found, patch = backbone.rpartition("_patch")
    for name, size in sizes.items():
        if found and size % int(patch):
            lower = max(size // int(patch), 1) * int(patch)
            raise ValueError(
                f"check_view_sizes: `{name}` must be a multiple of {patch} for {backbone}, got "
                f"{size}. Take {lower} or {lower + int(patch)}."
            )
