# SPDX-License-Identifier: Apache-2.0
"""A network of maps that answers with boxes: what leaves the house as TorchScript and ONNX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.metrics import top_candidates
from monai_kd.networks import AALSNetwork

__all__ = ["CandidateNetwork"]


class CandidateNetwork(nn.Module):
    """Answer with the probability of each finding, and with candidates: boxes and their scores.

    All shapes are fixed, so that it can be exported as a whole: where a map has fewer candidates
    than there are places, the score is 0, and so is the box.

    Args:
        network: kept, not copied; from :func:`monai_kd.networks.build_aals_network`.
        radius: cells of the map within which only the highest peak counts, at least 1.
        max_candidates: K, places of each map, at least 1.
        share: of a peak's height that its box has at least, in (0, 1].

    Example:
        >>> from monai_kd.networks import build_aals_network
        >>> network = build_aals_network("resnet10-w16", num_findings=2, channels=16)
        >>> whole = CandidateNetwork(network, max_candidates=5)
        >>> prob, score, box = whole(torch.zeros(1, 1, 64, 64))
        >>> prob.shape, score.shape, box.shape
        (torch.Size([1, 2]), torch.Size([1, 2, 5]), torch.Size([1, 2, 5, 4]))
    """

    def __init__(
        self,
        network: AALSNetwork,
        *,
        radius: int = 4,
        max_candidates: int = 20,
        share: float = 0.5,
    ) -> None:
        super().__init__()
        self.network = network
        self.radius = int(radius)
        self.max_candidates = int(max_candidates)
        self.share = float(share)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities, scores and boxes, float32, the best of each map first.

        Args:
            image: ``(B, in_channels, H, W)``, at least 32 pixels.

        Returns:
            Probability of each finding, ``(B, C)``; scores in [0, 1], ``(B, C, K)``; and boxes,
            ``(B, C, K, 4)``: ``x_min, y_min, x_max, y_max`` in pixels of ``image``, maxima
            exclusive.
        """
        maps = self.network.forward_map(image).float()
        score, box, _ = top_candidates(maps.sigmoid(), self.radius, self.max_candidates, self.share)
        across = image.shape[3] / maps.shape[3]  # pixels per cell
        down = image.shape[2] / maps.shape[2]
        x_min, y_min, x_max, y_max = box.unbind(3)
        box = torch.stack([x_min * across, y_min * down, x_max * across, y_max * down], 3)
        return self.network.image_logits(maps).sigmoid(), score, box
