# SPDX-License-Identifier: Apache-2.0
"""Films that arrive round by round, all in one list: who comes when, and with which label."""

from __future__ import annotations

import math
from typing import Any

from monai_kd.data.datalist import Datalist
from monai_kd.utils import MonaiKDError

__all__ = ["arriving_films", "check_arrivals", "labeled_rates"]


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
