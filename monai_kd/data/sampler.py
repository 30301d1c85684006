# SPDX-License-Identifier: Apache-2.0
"""In which order images are seen: a pure function of seed and epoch, shared by all processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from torch.utils.data import Sampler

__all__ = ["EpochSampler"]


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield ``(epoch, index)`` for :class:`~monai_kd.data.CachedDataset`.

    With ``world_size`` processes, process ``rank`` takes every ``world_size``-th image of the one
    order, so that the k-th batches of all processes together are the k-th batch of a single process
    with the same total batch size. All processes get the same number of images: when they do not
    divide evenly, the first images of the order are repeated at its end, never left out.

    Args:
        dataset_size: number of images, at least 1.
        shuffle: a new order in each epoch; False keeps the order of the data set.
        seed: of the order, at least 0.
        rank: this process, 0 to ``world_size - 1``.
        world_size: number of processes.

    Raises:
        ValueError: if a number is out of range.
    """

    seed_bits: ClassVar[int] = 32

    def __init__(
        self, dataset_size: int, *, shuffle: bool, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__()
        if dataset_size < 1:
            raise ValueError(
                f"{type(self).__name__}: `dataset_size` must be at least 1, got {dataset_size}. "
                "Is a section of the datalist empty?"
            )
        if not 0 <= rank < world_size:
            raise ValueError(
                f"{type(self).__name__}: `rank` must be from 0 to `world_size` - 1, got {rank} of "
                f"{world_size}. Both come from the launcher (RANK, WORLD_SIZE)."
            )
        if not 0 <= seed < 2**self.seed_bits:
            raise ValueError(
                f"{type(self).__name__}: `seed` must be from 0 to 2**{self.seed_bits} - 1, got "
                f"{seed}. Choose another."
            )
        self.dataset_size = dataset_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration yields.

        Args:
            epoch: 0 at the start; a resumed run sets the epoch it goes on with.
        """
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of images of this process, the same in all processes."""
        return math.ceil(self.dataset_size / self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield ``(epoch, index)`` of this process."""
        epoch = self.epoch  # a later set_epoch is for a later iteration
        order = np.arange(self.dataset_size)
        if self.shuffle:
            order = np.random.RandomState([self.seed, epoch]).permutation(self.dataset_size)
        order = np.resize(order, len(self) * self.world_size)  # repeats from the start
        for index in order[self.rank :: self.world_size]:
            yield epoch, int(index)
