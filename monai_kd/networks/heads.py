# SPDX-License-Identifier: Apache-2.0
"""What may stand at the end of a backbone in the place of its last linear layer.

The head of three layers is that of Park et al., "Self-evolving vision transformer for chest X-ray
diagnosis through knowledge distillation", Nature Communications 13:3848, 2022,
https://arxiv.org/abs/2202.06431
"""

from __future__ import annotations

from torch import nn

from monai_kd.networks.base import Backbone
from monai_kd.utils import check_choice

__all__ = ["HEADS", "put_head"]

#: Names of the heads: one linear layer, or three with ReLU between them.
HEADS = ("linear", "mlp")
_HIDDEN = 256


def put_head(network: Backbone, head: str, *, num_findings: int) -> None:
    """Put a head in the place of a backbone's last linear layer.

    Args:
        network: changed in place; it has its linear layer still.
        head: ``"linear"`` changes nothing; ``"mlp"`` has two hidden layers of 256.
        num_findings: outputs.

    Raises:
        ValueError: if there is no such head.
    """
    check_choice("put_head", "head", head, HEADS)
    if head == "linear":
        return
    place, _, name = network.head_name.rpartition(".")
    setattr(
        network.get_submodule(place),
        name,
        nn.Sequential(
            nn.Linear(network.num_features, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, num_findings),
        ),
    )
