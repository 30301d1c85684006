# SPDX-License-Identifier: Apache-2.0
"""Films that arrive round by round: one data set holds all, a sampler says who is there already."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from monai_kd.data.datalist import Datalist
from monai_kd.utils import MonaiKDError

__all__ = ["ArrivalSampler", "arriving_films", "check_arrivals", "labeled_rates"]


def arriving_films(datalist: Datalist, *, rounds: int) -> list[dict[str, Any]]:
    """Return the films that are trained on: the labeled ones, then those of every round.

    Each has ``arrival``, 0 for the labeled section and k for ``unlabeled_k``, and ``hidden_label``:
    the truth where the datalist keeps it for benchmarks (for labeled films their label), else all
    unknown. ``label`` of an unlabeled film is unknown whatever the datalist says.

    Args:
        datalist: with a section ``labeled`` and any number of ``unlabeled_k``.
        rounds: how many of these are taken.
    """
    unknown = [None] * len(datalist.findings)
    films = [
        item | {"arrival": 0, "hidden_label": item["label"]} for item in datalist.section("labeled")
    ]
    for number, name in enumerate(datalist.rounds[:rounds], 1):
        for item in datalist.section(name):
            hidden = item.get("hidden_label") or unknown
            films.append(item | {"arrival": number, "label": unknown, "hidden_label": hidden})
    return films


def check_arrivals(datalist: Datalist, *, rounds: int, with_truth: bool) -> None:
    """Stop a training whose rounds the datalist cannot serve.

    Args:
        datalist: what is trained on.
        rounds: how many rounds of unlabeled films are asked for.
        with_truth: whether a comparator needs the truth of the unlabeled films.

    Raises:
        MonaiKDError: if a round has no section, or the truth is wanted and not there.
    """
    there = len(datalist.rounds)
    if rounds > there:
        raise MonaiKDError(
            f"check_arrivals: `rounds` must be at most the {there} unlabeled sections of the "
            f"datalist, got {rounds}. Build it with `python -m monai_kd datalist ... --rounds "
            f"{rounds}`, or ask for fewer."
        )
    films = [item for name in datalist.rounds[:rounds] for item in datalist.sections[name]]
    told = sum(any(v is not None for v in item.get("hidden_label") or ()) for item in films)
    if with_truth and told < len(films):
        raise MonaiKDError(
            "check_arrivals: supervised_all needs `hidden_label` on every film of the unlabeled "
            f"sections, got it on {told} of {len(films)}. Build the datalist with "
            "--keep-hidden-labels, or leave this comparator out."
        )


def labeled_rates(datalist: Datalist) -> list[float]:
    """Return the share of the labeled films that have each finding, NaN where none is known.

    Args:
        datalist: with a section ``labeled``.
    """
    labels = [item["label"] for item in datalist.sections["labeled"]]
    columns = [[one for one in column if one is not None] for column in zip(*labels, strict=True)]
    return [sum(known) / len(known) if known else math.nan for known in columns]


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
