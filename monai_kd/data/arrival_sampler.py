# SPDX-License-Identifier: Apache-2.0
"""In which order the films that have arrived are seen: a pure function of seed, stage and epoch."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import numpy as np

from monai_kd.data.sampler import EpochSampler

__all__ = ["ArrivalSampler"]


class ArrivalSampler(EpochSampler):
    """Yield ``(epoch, index)`` of the films that have arrived, in a new order each epoch.

    Between processes they are shared out as in :class:`~monai_kd.data.EpochSampler`.

    Args:
        arrivals: for each film of the data set the round it comes in, 0 for the labeled ones.
        seed: of the order, at least 0.
        rank: this process, 0 to ``world_size - 1``.
        world_size: number of processes.

    Raises:
        ValueError: if there is no film, or ``seed`` or ``rank`` is out of range.
    """

    seed_bits: ClassVar[int] = 31

    def __init__(
        self, arrivals: Sequence[int], *, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(len(arrivals), shuffle=True, seed=seed, rank=rank, world_size=world_size)
        self.arrivals = np.asarray(arrivals)
        self.stream = 0
        self.chosen = np.arange(len(self.arrivals))

    def choose(self, arrivals: Collection[int], *, films: int = 0, stream: int = 0) -> None:
        """Take the films of some rounds from now on.

        Args:
            arrivals: numbers of the rounds, 0 for the labeled films.
            films: how many films an epoch has; more than there are repeat them, in a new order each
                time; 0: each once.
            stream: another number gives other orders and views, e.g. the number of the stage.

        Raises:
            ValueError: if no film has arrived.
        """
        self.chosen = np.flatnonzero(np.isin(self.arrivals, list(arrivals)))
        if not len(self.chosen):
            raise ValueError(
                f"ArrivalSampler: `arrivals` must name a round with films, got {list(arrivals)}. "
                "Is a section of the datalist empty?"
            )
        self.dataset_size = films or len(self.chosen)  # of an epoch
        self.stream = stream
        self.epoch = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield ``(epoch, index)`` of this process; the epoch is unique over all streams."""
        epoch = self.stream * 100_000 + self.epoch  # a film gets other views in each stage
        total = len(self) * self.world_size
        random = np.random.RandomState([self.seed, epoch])
        passes = math.ceil(total / len(self.chosen))
        order = np.concatenate([random.permutation(self.chosen) for _ in range(passes)])[:total]
        for index in order[self.rank :: self.world_size]:
            yield epoch, int(index)
