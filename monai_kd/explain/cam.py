# SPDX-License-Identifier: Apache-2.0
"""Where a classifier looks: Grad-CAM of its last feature stage, and the share inside a region.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, https://arxiv.org/abs/1610.02391. The same map as
``monai.visualize.GradCAM`` (a test compares them), written out because MONAI's class leaves its
hooks in the network, clears gradients, takes one finding for the whole batch, and inverts the map.
The pointing game is Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.utils import check_same_shape

__all__ = ["FeatureClassifier", "grad_cam", "mass_inside", "pointing_game"]


@runtime_checkable
class FeatureClassifier(Protocol):
    """A classifier in two halves, as :func:`monai_kd.networks.build_backbone` returns it."""

    def forward_features(self, image: Tensor) -> Tensor:
        """Return the last feature stage, ``(B, D, h, w)``, of ``image``, ``(B, 1, H, W)``."""

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits, ``(B, C)``, of ``features``, ``(B, D, h, w)``."""


def grad_cam(network: nn.Module, image: Tensor, *, finding: int | Tensor) -> Tensor:
    r"""Return where the network sees a finding.

    .. math:: \operatorname{relu}\Big(\sum_d \operatorname{mean}_{hw}
        \frac{\partial\, \mathrm{logit}}{\partial F_d} \, F_d\Big)

    brought to the image's size (bilinear) and scaled so that its largest value is 1. The network
    is asked in ``eval`` mode and left as it was: modes, parameters' gradients, ``requires_grad``.
    Works under ``torch.no_grad()``.

    Args:
        network: has ``forward_features`` and ``forward_head``.
        image: ``(B, channels, H, W)``, on the network's device.
        finding: column of the logits, for all images, or one for each, ``(B,)``.

    Returns:
        Maps, ``(B, 1, H, W)``, float32 in [0, 1]; 1 is where the finding is seen most. All 0
        where nothing speaks for the finding.

    Raises:
        TypeError: if the network has no two halves.
        ValueError: if ``finding`` is not a column of the logits, or not one per image.
    """
    if not isinstance(network, FeatureClassifier):
        raise TypeError(
            "grad_cam: `network` must have `forward_features` and `forward_head`, got "
            f"{type(network).__name__}. Build it with monai_kd.networks.build_backbone."
        )
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            features = network.forward_features(image)
        with torch.inference_mode(False), torch.enable_grad():
            leaf = features.detach().clone().requires_grad_()
            logits = network.forward_head(leaf.clone())  # a head may begin with an in-place ReLU
            score = logits.gather(1, _column(finding, logits)[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, leaf)
    finally:
        for module, training in modes.items():
            module.training = training
    leaf, gradient = leaf.detach().float(), gradient.float()
    activation = F.relu((gradient.mean(dim=(2, 3), keepdim=True) * leaf).sum(1, keepdim=True))
    activation = F.interpolate(activation, image.shape[2:], mode="bilinear", align_corners=False)
    peak = activation.amax(dim=(1, 2, 3), keepdim=True)
    return torch.where(peak > 0, activation / peak.clamp_min(torch.finfo(peak.dtype).tiny), 0.0)


def mass_inside(cam: Tensor, mask: Tensor) -> Tensor:
    """Return the share of a map's mass that lies inside the region.

    Args:
        cam: maps, ``(B, 1, H, W)``, not negative.
        mask: regions, 0 or 1, same shape.

    Returns:
        Shares, ``(B,)``, in [0, 1]; NaN where the map or the region is empty.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(
        "mass_inside", "Select one finding: `region_mask[:, c, None]`.", cam=cam, mask=mask
    )
    region = mask.to(cam) > 0
    mass = cam.flatten(1).double().sum(1)
    share = (cam.double() * region).flatten(1).sum(1) / mass
    defined = (mass > 0) & region.flatten(1).any(1)
    return torch.where(defined, share, torch.nan).to(cam.dtype)


def pointing_game(cam: Tensor, mask: Tensor) -> Tensor:
    """Return whether the map's peak lies inside the region.

    Args:
        cam: maps, ``(B, 1, H, W)``, not negative.
        mask: regions, 0 or 1, same shape.

    Returns:
        Hits, bool, ``(B,)``. An empty map points nowhere, an empty region cannot be hit: False;
        leave these images out where :func:`mass_inside` is NaN.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(
        "pointing_game", "Select one finding: `region_mask[:, c, None]`.", cam=cam, mask=mask
    )
    peak, index = cam.flatten(1).max(1)
    hit = mask.flatten(1).gather(1, index[:, None])[:, 0] > 0
    return hit & (peak > 0)


def _column(finding: int | Tensor, logits: Tensor) -> Tensor:
    images, findings = logits.shape
    column = torch.as_tensor(finding, device=logits.device, dtype=torch.long)
    if column.ndim == 0:
        column = column.expand(images)
    if column.shape != (images,):
        raise ValueError(
            f"grad_cam: `finding` must be one number or one per image, ({images},), got "
            f"{tuple(column.shape)}. Take the column of one finding per image."
        )
    if ((column < 0) | (column >= findings)).any():
        raise ValueError(
            f"grad_cam: `finding` must be in [0, {findings - 1}], got "
            f"{int(column.min())} to {int(column.max())}. It is a column of the logits."
        )
    return column
