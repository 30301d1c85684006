# SPDX-License-Identifier: Apache-2.0
"""One process or many: who am I, and what do the others hold."""

from __future__ import annotations

import os
from typing import Any

import torch.distributed as dist

__all__ = ["gather_objects", "is_main_process", "local_rank", "process_rank", "world_size"]


def process_rank() -> int:
    """Return this process's rank, 0 when there is only one."""
    return dist.get_rank() if _is_distributed() else 0


def world_size() -> int:
    """Return how many processes train together, 1 when there is only one."""
    return dist.get_world_size() if _is_distributed() else 1


def is_main_process() -> bool:
    """Return whether this process writes files and prints progress."""
    return process_rank() == 0


def gather_objects(value: Any) -> list[Any]:
    """Return the ``value`` of every process, in the order of their ranks, on every process.

    Args:
        value: anything that pickles; small, since it travels through the host's memory.
    """
    if not _is_distributed():
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def local_rank() -> int:
    """Return this process's number on its own machine, as ``torchrun`` gives it, else 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
