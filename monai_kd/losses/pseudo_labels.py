# SPDX-License-Identifier: Apache-2.0
"""A network's own answers as labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["cross_entropy", "pseudo_label_health", "to_prob"]


def to_prob(logits: Tensor, activation: str) -> Tensor:
    """Return probabilities in float32, shape of ``logits``.

    Args:
        logits: ``(B, C)``.
        activation: ``"softmax"`` or ``"sigmoid"``.
    """
    logits = logits.float()
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()


def cross_entropy(logits: Tensor, target: Tensor, activation: str) -> Tensor:
    """Return the cross-entropy with soft labels: one per film for softmax, else one per finding.

    Args:
        logits: ``(B, C)``.
        target: probabilities, same shape.
        activation: ``"softmax"`` or ``"sigmoid"``.
    """
    if activation == "softmax":
        return -(target * F.log_softmax(logits.float(), dim=1)).sum(dim=1)
    return F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")


def pseudo_label_health(prob: Tensor, student_logits: Tensor, activation: str) -> dict[str, Tensor]:
    """Return what tells whether pseudo labels still tell films apart, all detached.

    Args:
        prob: the pseudo labels, ``(B, C)``.
        student_logits: what the student makes of another view, ``(B, C)``.
        activation: ``"softmax"`` or ``"sigmoid"``.

    Returns:
        ``pseudo_positive`` and ``pseudo_probability``, ``(C,)``, and ``agreement``, a scalar.
    """
    prob, logits = prob.detach(), student_logits.detach()
    if activation == "softmax":
        choice = prob.argmax(dim=1)
        positive = F.one_hot(choice, prob.shape[1])
        equal = choice == logits.argmax(dim=1)
    else:
        positive = prob > 0.5
        equal = positive == (logits > 0)
    return {
        "pseudo_positive": positive.to(torch.float32).mean(dim=0),
        "pseudo_probability": prob.mean(dim=0),
        "agreement": equal.to(torch.float32).mean(),
    }
