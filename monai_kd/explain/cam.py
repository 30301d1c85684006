# SPDX-License-Identifier: Apache-2.0
"""Where a convolutional classifier looks: Grad-CAM and Grad-CAM++ of its last feature stage.

Sources: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, https://arxiv.org/abs/1610.02391, and Chattopadhay et al., "Grad-CAM++:
Improved Visual Explanations for Deep Convolutional Networks", WACV 2018,
https://arxiv.org/abs/1710.11063. The same maps as ``monai.visualize.GradCAM`` and ``GradCAMpp``
(tests compare them), written out because MONAI's classes leave their hooks in the network, clear
gradients, take one finding for the whole batch, and invert the map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.explain.maps import columns_of, in_eval_mode, to_image

__all__ = ["FeatureClassifier", "grad_cam", "grad_cam_plus_plus"]


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
        finding: column of the logits, for all images, or one for each, ``(B,)``, or several for
            each, ``(B, K)``, which costs one pass through the features all the same.

    Returns:
        Maps, ``(B, 1, H, W)`` or ``(B, K, H, W)``, float32 in [0, 1]; 1 is where the finding is
        seen most. All 0 where nothing speaks for the finding.

    Raises:
        TypeError: if the network has no two halves.
        ValueError: if ``finding`` is not a column of the logits, or not one per image.
    """
    return _maps("grad_cam", network, image, finding, lambda _, slope: slope.mean((2, 3)))


def grad_cam_plus_plus(network: nn.Module, image: Tensor, *, finding: int | Tensor) -> Tensor:
    r"""Return where the network sees a finding, small and repeated signs counted in full.

    As :func:`grad_cam`, but with the positive part of each slope :math:`g` weighted, where it
    stands, by

    .. math:: \alpha = \frac{g^2}{2 g^2 + \sum_{hw} F_d \, g^3}

    Args:
        network: see :func:`grad_cam`.
        image: see :func:`grad_cam`.
        finding: see :func:`grad_cam`.

    Returns:
        Maps, see :func:`grad_cam`.

    Raises:
        TypeError: if the network has no two halves.
        ValueError: if ``finding`` is not a column of the logits, or not one per image.
    """
    return _maps("grad_cam_plus_plus", network, image, finding, _plus_plus_weights)


def _plus_plus_weights(features: Tensor, slope: Tensor) -> Tensor:
    square = slope.square()
    below = 2 * square + (features * slope.pow(3)).sum((2, 3), keepdim=True)
    alpha = square / (torch.where(below != 0, below, 1.0) + 1e-7)  # MONAI's guard against 0
    return (alpha * F.relu(slope)).sum((2, 3))


def _maps(
    who: str,
    network: nn.Module,
    image: Tensor,
    finding: int | Tensor,
    weigh: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Features summed with the weights, ``(B, D)``, that ``weigh`` makes of features and slopes."""
    if not isinstance(network, FeatureClassifier):
        raise TypeError(
            f"{who}: `network` must have `forward_features` and `forward_head`, got "
            f"{type(network).__name__}. Build it with monai_kd.networks.build_backbone."
        )
    with in_eval_mode(network):
        with torch.no_grad():
            features = network.forward_features(image)
        with torch.inference_mode(False), torch.enable_grad():
            leaf = features.detach().clone().requires_grad_()
            logits = network.forward_head(leaf.clone())  # a head may begin with an in-place ReLU
            columns = columns_of(finding, logits, who=who)
            slopes = [
                torch.autograd.grad(logits.gather(1, one[:, None]).sum(), leaf, retain_graph=True)
                for one in columns.T
            ]
    known = leaf.detach().float()
    maps = [torch.einsum("bd,bdhw->bhw", weigh(known, g.float()), known) for (g,) in slopes]
    return to_image(F.relu(torch.stack(maps, dim=1)), image)
