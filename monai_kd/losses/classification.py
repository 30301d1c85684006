# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy with the labels of the image, where they are known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.pseudo_labels import cross_entropy
from monai_kd.utils import check_choice, check_same_shape

__all__ = ["ClassificationLoss"]

ACTIVATIONS = ("softmax", "sigmoid")


class ClassificationLoss(nn.Module):
    """Mean cross-entropy over what is known; an unknown label (NaN) costs nothing.

    A batch in which nothing is known gives 0, with a gradient of 0.

    Args:
        activation: ``"softmax"``, exactly one finding per image (rows with any unknown label are
            left out), or ``"sigmoid"``, findings independent of each other.

    Attributes:
        parts: ``classification``, detached, of the last call.

    Raises:
        ValueError: if there is no such activation.
    """

    def __init__(self, activation: str = "softmax") -> None:
        super().__init__()
        check_choice(type(self).__name__, "activation", activation, ACTIVATIONS)
        self.activation = activation
        self.parts: dict[str, Tensor] = {}

    def forward(self, student_logits: Tensor, *, label: Tensor, **unused: Tensor) -> Tensor:
        """Return the mean loss, a scalar in float32.

        Args:
            student_logits: ``(B, C)``.
            label: 0, 1 or NaN (unknown), ``(B, C)``; one-hot rows for softmax.
            unused: other answers of the networks, not looked at.

        Raises:
            ValueError: if shapes differ, or a known row is not one-hot where it must be.
        """
        check_same_shape(
            "ClassificationLoss",
            student_logits=student_logits,
            label=label,
            hint="Give `label` one column per finding, and the network as many outputs.",
        )
        target = label.detach().float()
        known = ~target.isnan()
        if self.activation == "softmax":
            known = known.all(dim=1)
            target = torch.where(known[:, None], target, 0)
            _check_one_hot(target[known])
        else:
            target = torch.where(known, target, 0)
        losses = cross_entropy(student_logits, target, self.activation)
        loss = torch.where(known, losses, 0).sum() / known.sum().clamp(min=1)
        self.parts = {"classification": loss.detach()}
        return loss


def _check_one_hot(rows: Tensor) -> None:
    if ((rows == 1).sum(dim=1) != 1).any() or ((rows == 0).sum(dim=1) != rows.shape[1] - 1).any():
        raise ValueError(
            "ClassificationLoss: `label` must have exactly one 1 per row, all else 0, for softmax. "
            'Use `activation="sigmoid"` where an image may have several findings, or none.'
        )
