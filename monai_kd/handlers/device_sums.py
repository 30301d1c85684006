# SPDX-License-Identifier: Apache-2.0
"""Sums that grow on the device, and come to the host once in a while."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from monai_kd.utils.distributed import is_main_process, world_size

__all__ = ["DeviceSums"]


class DeviceSums:
    """Add up tensors by name; nothing waits for the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        """Whether anything was added since the last reading."""
        return bool(self._sums)

    @torch.no_grad()
    def add(self, name: str, value: Tensor) -> None:
        """Add to one sum.

        Args:
            name: of the sum.
            value: of any shape, always the same for a name; counted in float32.
        """
        value = value.detach().float()
        if name in self._sums:
            value = self._sums[name].to(value.device) + value
        self._sums[name] = value

    def read(self) -> dict[str, Tensor]:
        """Return the sums over all processes on the host, float64, and forget them.

        In several processes all must ask at once, with the same names.
        """
        sums, self._sums = self._sums, {}
        if not sums:
            return {}
        flat = torch.cat([value.reshape(-1) for value in sums.values()])
        if world_size() > 1:
            dist.all_reduce(flat)
        pieces = torch.split(flat.cpu(), [value.numel() for value in sums.values()])
        return {
            name: piece.reshape(value.shape).double()
            for (name, value), piece in zip(sums.items(), pieces, strict=True)
        }

    def collect(self) -> None:
        """Hand the sums of all processes to the main one, whose state is the one that is saved."""
        if world_size() == 1 or not self._sums:
            return
        for name, value in self._sums.items():
            total = value.clone()
            dist.all_reduce(total)
            self._sums[name] = total if is_main_process() else torch.zeros_like(total)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of this process, for a checkpoint."""
        return {name: value.cpu() for name, value in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Args:
            state: what :meth:`state_dict` returned.
        """
        self._sums = dict(state)
