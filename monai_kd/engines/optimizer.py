# SPDX-License-Identifier: Apache-2.0
"""AdamW that decays weights, and leaves biases and norms alone."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW

__all__ = ["make_adamw"]


def make_adamw(network: nn.Module, *, learning_rate: float, weight_decay: float = 0.01) -> AdamW:
    """Return AdamW, fused, for what a network can learn (method section 2.5).

    Decayed are tensors with more than one axis that are not biases: so the class token and the
    positional embedding too, as in the published code.

    Args:
        network: parameters that need no gradient are left out.
        learning_rate: above 0; schedules change it later.
        weight_decay: of the decayed tensors, at least 0.
    """
    learned = [
        (name, tensor) for name, tensor in network.named_parameters() if tensor.requires_grad
    ]
    decayed = [tensor for name, tensor in learned if tensor.ndim > 1 and not name.endswith("bias")]
    others = [tensor for name, tensor in learned if tensor.ndim <= 1 or name.endswith("bias")]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)
