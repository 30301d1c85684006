# SPDX-License-Identifier: Apache-2.0
"""One process or many: who am I, and what do the others hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = [
    "done_by_main_process",
    "gather_objects",
    "is_main_process",
    "local_rank",
    "main_process_first",
    "mean_over_processes",
    "process_rank",
    "said_by_main_process",
    "share_buffers",
    "wait_for_all",
    "world_size",
]

T = TypeVar("T")


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


def said_by_main_process(value: T) -> T:
    """Return the main process's ``value`` on every process, where each has measured its own.

    Args:
        value: what this process would say; anything that pickles.
    """
    answer: T = gather_objects(value)[0]
    return answer


def done_by_main_process(make: Callable[[], T]) -> T:
    """Return on every process what the main process has made; all raise what it raised.

    For what reads or writes files: a full disk must not leave the others waiting.

    Args:
        make: called on the main process alone; what it returns or raises must pickle.
    """
    if world_size() == 1:
        return make()
    made: T | None = None
    error: Exception | None = None
    if is_main_process():
        try:
            made = make()
        except Exception as raised:  # shared, and raised below
            error = raised
    made, error = said_by_main_process((made, error))
    if error is not None:
        raise error
    return made  # type: ignore[return-value]  # of the main process


def mean_over_processes(total: Tensor, count: Tensor) -> Tensor:
    """Return this process's part of one mean over all processes, scaled for the mean of gradients.

    Averaged over the processes, as DDP averages gradients, the results are the sum of the totals
    divided by the sum of the counts, however the counts are spread.

    Args:
        total: this process's sum, a scalar; keeps its gradient.
        count: of how many; 0 everywhere gives 0.
    """
    counted = count.detach().to(total.dtype)
    if _is_distributed():
        counted = counted.clone()
        dist.all_reduce(counted)
    share = counted / world_size()
    return torch.where(share > 0, total / share.clamp_min(1 / world_size()), 0 * total)


def share_buffers(network: nn.Module) -> None:
    """Give every process the main process's buffers, such as the statistics of batch norm.

    Args:
        network: changed in place.
    """
    if _is_distributed():
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)


def wait_for_all() -> None:
    """Return when every process has come here."""
    if _is_distributed():
        dist.barrier()


def main_process_first(make: Callable[[], T]) -> T:
    """Return what ``make`` returns; the others start when the main process is done.

    For what writes files that everybody reads afterwards.

    Args:
        make: called once in every process.
    """
    if is_main_process():
        made = make()
        wait_for_all()
        return made
    wait_for_all()
    return make()


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def local_rank() -> int:
    """Return this process's number on its own machine, as ``torchrun`` gives it, else 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
