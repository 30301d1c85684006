# SPDX-License-Identifier: Apache-2.0
"""A training step of aals written plainly; what the project's form is compared to.

Images as they come (NCHW), all levels of MONAI's feature pyramid, the teacher asked about every
film and with a graph that nobody needs, a Python loop over films and findings for roles, targets
and sharpening, a loop over tensors for the moving average. Nothing of the project is used, so that
this is a second opinion.

Source: Wang et al., "Knowledge Distillation with Adaptive Asymmetric Label Sharpening for
Semi-supervised Fracture Detection in Chest X-rays", IPMI 2021.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from monai.networks.nets import ResNet
from torch import Tensor, nn

__all__ = ["PlainNetwork", "aals_loss", "average", "sharpened"]

# block, layers, width, and how many times wider a block ends
SHAPES = {
    "resnet10-w16": ("basic", [1, 1, 1, 1], 16, 1),
    "resnet18": ("basic", [2, 2, 2, 2], 64, 1),
    "resnet34": ("basic", [3, 4, 6, 3], 64, 1),
    "resnet50": ("bottleneck", [3, 4, 6, 3], 64, 4),
}


class PlainNetwork(nn.Module):
    """ResNet, MONAI's feature pyramid with all its outputs, and a head on the finest level."""

    def __init__(self, name: str, *, findings: int, channels: int) -> None:
        super().__init__()
        block, layers, width, wider = SHAPES[name]
        stages = [width, 2 * width, 4 * width, 8 * width]
        self.backbone = ResNet(
            block=block,
            layers=layers,
            block_inplanes=stages,
            spatial_dims=2,
            n_input_channels=1,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.pyramid = FeaturePyramidNetwork(2, [wider * stage for stage in stages], channels)
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, findings, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return maps of logits, ``(B, C, H / 4, W / 4)``."""
        net = self.backbone
        x = net.maxpool(net.act(net.bn1(net.conv1(image))))
        stages: OrderedDict[str, Tensor] = OrderedDict()
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = stages[name] = getattr(net, name)(x)
        maps: Tensor = self.head(self.pyramid(stages)["layer1"])
        return maps


def sharpened(prob: Tensor, strength: float = 4.0, center: float = 0.4) -> Tensor:
    """Return the pseudo label of one map, pass by pass."""
    a = strength - (strength - 1) * prob.max()
    clipped = prob.clamp(1e-6, 1 - 1e-6)
    logit = torch.log(clipped / (1 - clipped))
    raw = 1 / (1 + torch.exp(-(a * logit + (1 - a) * math.log(center / (1 - center)))))
    return torch.max(raw, prob)


def aals_loss(student: Tensor, teacher: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the loss of maps of logits, ``(B, C, h, w)``, film by film and finding by finding."""
    known, filled = [], []
    for film in range(len(student)):
        nothing_drawn = not batch["region_drawn"][film].any()
        for finding in range(student.shape[1]):
            label = batch["label"][film, finding].item()
            mask = batch["region_mask"][film, finding]
            looked = batch["region_annotated"][film, finding].item()
            logits = student[film, finding]
            if label != 0 and looked and batch["region_drawn"][film, finding]:
                cells = F.interpolate(mask[None, None], logits.shape, mode="nearest-exact")[0, 0]
                known.append(F.binary_cross_entropy_with_logits(logits, cells, reduction="none"))
            elif label == 0 or (looked and nothing_drawn and math.isnan(label)):
                zeros = torch.zeros_like(logits)
                known.append(F.binary_cross_entropy_with_logits(logits, zeros, reduction="none"))
            elif label == 1:
                target = sharpened(torch.sigmoid(teacher[film, finding]))
                filled.append(F.binary_cross_entropy_with_logits(logits, target, reduction="none"))
    return torch.stack(known).mean() + torch.stack(filled).mean()


@torch.no_grad()
def average(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher, tensor by tensor."""
    mine = student.state_dict()
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.copy_(momentum * value + (1 - momentum) * mine[name])
        else:
            value.copy_(mine[name])
