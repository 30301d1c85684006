# SPDX-License-Identifier: Apache-2.0
"""What every classification network offers: logits, the feature map before pooling, and the head.

The class-activation map follows Zhou et al., "Learning Deep Features for Discriminative
Localization", CVPR 2016, https://arxiv.org/abs/1512.04150
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """A classification network whose inside can be asked in one forward pass.

    Subclasses say how features are made and how the head reads them. ``forward`` gives one tensor,
    so that export, Grad-CAM and every engine work as with any other network; wrap it in
    :class:`~monai_kd.networks.WithFeatures` when a loss needs more than the logits.

    ``feature_map``, an identity, marks the place of the features for hooks: give its name as the
    target layer of Grad-CAM.
    """

    stem_name: ClassVar[str] = ""  # weight of the first convolution
    head_name: ClassVar[str] = ""  # what gives the logits: the last linear layer, or several
    num_features: int  # D

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, ``(B, C)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        return self.forward_head(self.forward_features(image))

    @torch.jit.export
    def forward_features(self, image: Tensor) -> Tensor:
        """Return the last feature map before pooling, ``(B, D, h, w)``.

        Args:
            image: ``(B, in_channels, H, W)``.
        """
        raise NotImplementedError

    @torch.jit.export
    def pool(self, features: Tensor) -> Tensor:
        """Return what the head reads, before dropout, ``(B, D)``.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        raise NotImplementedError

    @torch.jit.export
    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits, ``(B, C)``, of a feature map: pooling, dropout, head.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        raise NotImplementedError

    @torch.jit.export
    def class_activation(self, features: Tensor) -> Tensor:
        """Return the head applied at each position, without dropout, ``(B, C, h, w)``.

        Where the head is pooling and a linear layer this is the class-activation map of Zhou et
        al. with the bias left in: its mean over the positions is the logit.

        Args:
            features: as :meth:`forward_features` gives them.
        """
        raise NotImplementedError

    def rename_pretrained(self, name: str) -> str:
        """Return our name for a tensor of a weights file, the same name where none is known.

        Args:
            name: name in the file.
        """
        return name

    def fit_pretrained(self, name: str, tensor: Tensor) -> Tensor:
        """Return a tensor of a weights file in the size this network needs, if it knows how.

        Args:
            name: our name of the tensor.
            tensor: as it is in the file; the same is given back where nothing is known.
        """
        return tensor
