# SPDX-License-Identifier: Apache-2.0
"""One forward pass, three answers: logits, features and class-activation map."""

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.networks.base import Backbone

__all__ = ["WithFeatures"]


class WithFeatures(nn.Module):
    """Let a backbone answer with everything a distillation loss may ask for.

    Features, logits and activation come from one forward pass, so batch statistics move once and
    DDP sees one call. Wrap this in DDP, not the other way round.

    Args:
        network: kept, not copied; its own state dict stays the one to deliver.
    """

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` (B, C), ``features`` (B, D, h, w) and ``activation`` (B, C, h, w).

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        features = self.network.forward_features(image)
        return {
            "logits": self.network.forward_head(features),
            "features": features,
            "activation": self.network.class_activation(features),
        }
