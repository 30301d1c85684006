# SPDX-License-Identifier: Apache-2.0
"""Items become a batch: tensors are stacked, everything else stays a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["collate_items"]


def collate_items(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch of items; unlike torch's collate it takes unknown (None) metadata.

    Only what every item has is kept.

    Args:
        items: dictionaries; tensors of one key have one shape. ``index`` becomes a tensor.

    Returns:
        Plain tensors ``(B, ...)``, and lists of length B for the rest.
    """
    shared = [key for key in items[0] if all(key in item for item in items)]
    batch: dict[str, Any] = {}
    for key in shared:
        values = [item[key] for item in items]
        if all(isinstance(value, Tensor) for value in values):
            # MONAI's MetaTensor makes every operation of a network slower: leave it here
            batch[key] = torch.stack([value.as_subclass(Tensor) for value in values])
        else:
            batch[key] = torch.tensor(values) if key == "index" else values
    return batch
