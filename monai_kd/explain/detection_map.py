# SPDX-License-Identifier: Apache-2.0
"""Where a detector sees a finding: the map that it answers with, nothing derived from it.

Other explanations ask afterwards what moved an answer. A detector's answer is the map: its score of
the image is read from it, so that the map shows what was decided, not a guess about the reason.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from monai_kd.explain.maps import columns_of, in_eval_mode, to_image

__all__ = ["MapClassifier", "detection_map"]


@runtime_checkable
class MapClassifier(Protocol):
    """A network with a map per finding, as :func:`monai_kd.networks.build_aals_network` builds."""

    def forward_map(self, image: Tensor) -> Tensor:
        """Return maps of logits, ``(B, C, h, w)``, of ``image``, ``(B, 1, H, W)``."""


def detection_map(network: nn.Module, image: Tensor, *, finding: int | Tensor) -> Tensor:
    """Return where a detector sees a finding: the probabilities of its map.

    They are brought to the image's size (bilinear) and scaled so that the largest is 1, as the
    other maps are: where the detector sees nothing, the place that is least unlikely is 1. The
    network is asked in ``eval`` mode and left as it was.

    Args:
        network: has ``forward_map``.
        image: ``(B, channels, H, W)``, on the network's device.
        finding: which map, for all images, or one for each, ``(B,)``, or several for each,
            ``(B, K)``, which costs one pass all the same.

    Returns:
        Maps, ``(B, 1, H, W)`` or ``(B, K, H, W)``, float32 in [0, 1] with a peak of 1.

    Raises:
        TypeError: if the network has no maps.
        ValueError: if ``finding`` is not one of them, or not one per image, or if the maps hold
            NaN or infinity.
    """
    if not isinstance(network, MapClassifier):
        raise TypeError(
            f"detection_map: `network` must have `forward_map`, got {type(network).__name__}. "
            "Build it with monai_kd.networks.build_aals_network, and give the network itself, not "
            "what it is wrapped in."
        )
    with in_eval_mode(network), torch.no_grad():
        maps = network.forward_map(image).detach().float()
    columns = columns_of(finding, maps.flatten(2).amax(2), who="detection_map")
    place = columns[:, :, None, None].expand(-1, -1, *maps.shape[2:])
    chosen = maps.gather(1, place)
    prob = chosen.sigmoid().masked_fill(chosen.isinf(), torch.nan)  # 0 and 1 would hide divergence
    return to_image(prob, image)
