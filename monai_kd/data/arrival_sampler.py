# SPDX-License-Identifier: Apache-2.0
"""In which order the films that have arrived are seen: a pure function of seed, stage and epoch."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

__all__ = ["ArrivalSampler"]


class ArrivalSampler(Sampler[tuple[int, int]]):
    """Yield ``(epoch, index)`` of the films that have arrived, in a new order each epoch.

    With several processes, each takes every ``world_size``-th film of the one order, as
    :class:`~monai_kd.data.EpochSampler` does.

    Args:
        arrivals: for each film of the data set the round it comes in, 0 for the labeled ones.
        seed: of the order, at least 0.
        rank: this process, 0 to ``world_size - 1``.
        world_size: number of processes.

    Raises:
        ValueError: if ``seed`` or ``rank`` is out of range.
    """

    def __init__(
        self, arrivals: Sequence[int], *, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__()
        if not 0 <= seed < 2**31:
            raise ValueError(
                f"ArrivalSampler: `seed` must be from 0 to 2**31 - 1, got {seed}. Choose another."
            )
        if not 0 <= rank < world_size:
            raise ValueError(
                f"ArrivalSampler: `rank` must be from 0 to `world_size` - 1, got {rank} of "
                f"{world_size}. Both come from the launcher (RANK, WORLD_SIZE)."
            )
        self.arrivals = np.asarray(arrivals)
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.stream = 0
        self.chosen = np.arange(len(self.arrivals))
        self.films = len(self.chosen)

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
        self.films = films or len(self.chosen)
        self.stream = stream
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration yields.

        Args:
            epoch: 0 at the start; a resumed run sets the epoch it goes on with.
        """
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of films of this process in an epoch, the same in all processes."""
        return math.ceil(self.films / self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield ``(epoch, index)`` of this process; the epoch is unique over all streams."""
        epoch = self.stream * 100_000 + self.epoch  # a film gets other views in each stage
        total = len(self) * self.world_size
        random = np.random.RandomState([self.seed, epoch])
        passes = math.ceil(total / len(self.chosen))
        order = np.concatenate([random.permutation(self.chosen) for _ in range(passes)])[:total]
        for index in order[self.rank :: self.world_size]:
            yield epoch, int(index)
