# SPDX-License-Identifier: Apache-2.0
"""Films of three groups in a fixed mix, whatever their share of the archive."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from monai_kd.data.sampler import EpochSampler

__all__ = ["GroupSampler", "films_of_an_epoch"]

_STREAM, _REPEAT = 100_000, 1_000_000  # of the first number that is yielded, which seeds the views

_FILMS = (
    "on which an expert drew a finding",
    "with a finding that nobody drew",
    "without a finding",
)


class GroupSampler(EpochSampler):
    """Yield ``(epoch, index)`` in blocks that each hold the groups in the same ratio.

    A block is ``ratio[0]`` films of group 0, then ``ratio[1]`` of group 1, then ``ratio[2]`` of
    group 2, e.g. 1 drawn, 1 positive and 2 negative ones. Each group is gone through in one
    permutation after the other, from epoch to epoch, so that none of its films is passed over. A
    film that comes several times in an epoch is augmented anew each time.

    Blocks are dealt to the processes in turn. With batches of whole blocks the k-th batches of all
    processes together are the k-th batch of a single process with the same total batch size. All
    processes get the same number of blocks; when they do not divide evenly, some are added.

    Args:
        groups: group of each film of the data set, see :func:`~monai_kd.data.film_groups`; films of
            -1 are never drawn.
        ratio: how many films of groups 0, 1 and 2 a block has; 0 leaves a group out.
        films: how many films an epoch has, rounded up to whole blocks; 0: as many as it takes to
            see each film of groups 0 and 1 that are not left out (of group 2, if both are).
        seed: of the order, at least 0.
        stream: another number gives other orders and views of the films, e.g. that of the stage.
        rank: this process, 0 to ``world_size - 1``.
        world_size: number of processes.

    Raises:
        ValueError: if a group that is not left out has no film, or a number is out of range.

    Example:
        >>> sampler = GroupSampler([0, 1, 2, 2, 2, -1], ratio=(1, 1, 2), seed=0)
        >>> [index for _, index in sampler][:2]
        [0, 1]
        >>> len(sampler)
        4
    """

    def __init__(
        self,
        groups: Sequence[int],
        ratio: Sequence[int] = (1, 1, 2),
        films: int = 0,
        *,
        seed: int,
        stream: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check(groups, ratio, films)
        self.stream = stream
        self.ratio = tuple(int(share) for share in ratio)
        self.films = [np.flatnonzero(np.asarray(groups) == group) for group in range(3)]
        for group, share in enumerate(self.ratio):
            if share and not len(self.films[group]):
                raise ValueError(
                    f"GroupSampler: `groups` must hold films {_FILMS[group]} (group {group}) while "
                    f"their `ratio` is {share}, got none of {len(groups)}. Add such films, or set "
                    "their ratio to 0."
                )
        self.blocks = math.ceil(films / self.block) or self._blocks_to_see_all()
        size = self.blocks * self.block
        super().__init__(size, shuffle=True, seed=seed, rank=rank, world_size=world_size)

    @property
    def block(self) -> int:
        """Number of films of a block; a batch size must be a multiple of it."""
        return sum(self.ratio)

    def __len__(self) -> int:
        """Return the number of films of this process, the same in all processes."""
        return math.ceil(self.blocks / self.world_size) * self.block

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield ``(epoch, index)`` of this process; the first differs each time a film comes."""
        epoch = self.epoch  # a later set_epoch is for a later iteration
        blocks = math.ceil(self.blocks / self.world_size) * self.world_size
        parts = [
            self._order(group, epoch, blocks * share).reshape(blocks, share)
            for group, share in enumerate(self.ratio)
            if share
        ]
        order = np.concatenate(parts, axis=1)
        keys = self.stream * _STREAM + epoch + _REPEAT * _times_before(order.ravel())
        each = np.stack([keys.reshape(order.shape), order], axis=2)
        for key, index in each[self.rank :: self.world_size].reshape(-1, 2):
            yield int(key), int(index)

    def _blocks_to_see_all(self) -> int:
        wanted = [group for group in (0, 1) if self.ratio[group]] or [2]
        return max(math.ceil(len(self.films[group]) / self.ratio[group]) for group in wanted)

    def _order(self, group: int, epoch: int, count: int) -> NDArray[np.intp]:
        """Return the ``count`` films of a group in an epoch.

        One permutation follows the other, and each epoch goes on where the one before stopped.
        """
        films = self.films[group]
        start = epoch * self.blocks * self.ratio[group]
        first, last = start // len(films), (start + count - 1) // len(films)
        orders = [
            np.random.RandomState([self.seed, self.stream, group, pass_]).permutation(films)
            for pass_ in range(first, last + 1)
        ]
        return np.concatenate(orders)[start - first * len(films) :][:count]


def films_of_an_epoch(groups: Sequence[int], ratio: Sequence[int]) -> int:
    """Return how many films it takes to see each film of groups 0 and 1 once.

    Args:
        groups: see :class:`GroupSampler`.
        ratio: see :class:`GroupSampler`; groups without films are left out.

    Raises:
        ValueError: as for :class:`GroupSampler`.
    """
    there = [share if group in groups else 0 for group, share in enumerate(ratio)]
    return len(GroupSampler(groups, there, seed=0))


def _times_before(films: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often each film has come before in this order."""
    order = np.argsort(films, kind="stable")
    _, first, count = np.unique(films[order], return_index=True, return_counts=True)
    times = np.empty(len(films), np.intp)
    times[order] = np.arange(len(films)) - np.repeat(first, count)
    return times


def _check(groups: Sequence[int], ratio: Sequence[int], films: int) -> None:
    if not set(groups) <= {-1, 0, 1, 2}:
        raise ValueError(
            "GroupSampler: `groups` must be -1, 0, 1 or 2, got another number. Take them from "
            "monai_kd.data.film_groups."
        )
    whole = all(isinstance(share, int) and share >= 0 for share in ratio)
    if len(ratio) != 3 or not whole or not any(ratio):
        raise ValueError(
            f"GroupSampler: `ratio` must be three whole numbers of at least 0 and not all 0, got "
            f"{list(ratio)}. [1, 1, 2] takes one drawn, one positive and two negative films."
        )
    if films < 0:
        raise ValueError(
            f"GroupSampler: `films` must be at least 0, got {films}. 0 sees every film of groups 0 "
            "and 1."
        )
