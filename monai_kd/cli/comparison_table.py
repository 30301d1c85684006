# SPDX-License-Identifier: Apache-2.0
"""A comparison in words and cells, as the command line prints it."""

from __future__ import annotations

import itertools
import math

from monai_kd.metrics import Interval
from monai_kd.report import Comparison, Gain, SeedsTable

__all__ = [
    "ABOUT_INTERVALS",
    "SCORE_NAMES",
    "comparison_rows",
    "describe",
    "films_and_patients",
    "seeds_rows",
]

SCORE_NAMES = {
    "macro_auroc": "macro AUROC",
    "macro_auprc": "macro AUPRC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "brier": "Brier (lower is better)",
    "froc_score": "FROC score",
}
"""What the scores are called in a table."""
ABOUT_INTERVALS = "Intervals are 95%: over seeds alone, and over both, seeds and patients."
"""What stands below a table of several seeds."""
_INTERVALS = ("CI, seeds", "CI, both")


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """Return the cells of the table: a header, then one row per line and per part.

    Args:
        comparison: what was found.
    """
    seeds = bool(comparison.seeds)
    intervals = ["SD", *_INTERVALS] if seeds else ["95% CI"]
    rows = [["", "films", "A", "B", "A - B", *intervals, "p", "verdict"]]
    for (by, score), part in itertools.groupby(
        comparison.gains, lambda gain: (gain.by, gain.by and gain.score)
    ):
        title = f"{_name(score, by)} by {by}" if by else "all films"
        rows.append([title, *[""] * (len(rows[0]) - 1)])
        rows += [_row(gain, seeds=seeds) for gain in part]
    return rows


def describe(comparison: Comparison) -> tuple[str, str]:
    """Return what stands above the table, and what stands below it.

    Args:
        comparison: what was found.
    """
    films = films_and_patients(comparison.films, comparison.patients)
    section = f", section {comparison.section}" if comparison.section else ""
    seeds = f", {len(comparison.seeds)} seeds" if comparison.seeds else ""
    lines = [f"A minus B on {films}{section}{seeds}, film by film."]
    differing = [f"{name} {one} / {other}" for name, (one, other) in comparison.settings.items()]
    if differing:
        lines.append(f"A and B differ in: {', '.join(differing)}.")
    notes = list(comparison.notes)
    if comparison.seeds:
        notes.insert(0, f"{ABOUT_INTERVALS} p and verdict are of both.")
    if any(math.isnan(gain.difference.low) for gain in comparison.gains):
        notes.append("A dash for an interval: too few films with, or without, what is scored.")
    if len(comparison.gains) > 1:
        notes.append(
            f"Each of the {len(comparison.gains)} lines has an interval of its own: without any "
            "true difference, about one line in twenty is shown."
        )
    return "\n".join(lines), "".join(f"{note}\n" for note in notes)


def films_and_patients(films: int, patients: int | None) -> str:
    """Return how many films there are, and of how many patients.

    Args:
        films: number of films.
        patients: number of patients, or None when that is not known.
    """
    of = ", patients not known" if patients is None else f" of {patients} patients"
    return f"{films} films{of}"


def seeds_rows(table: SeedsTable) -> list[list[str]]:
    """Return the cells of the table of one method: a header, then one row per score.

    Args:
        table: what was found.
    """
    rows = [["", "mean", "SD", *_INTERVALS, *(f"seed {seed}" for seed in table.seeds)]]
    for one in table.scores:
        name = f"AUROC, {one.finding}" if one.finding else _name(one.score, "")
        both, seeds = one.over_both, one.over_seeds
        rows.append(
            [
                name,
                _plain(both.estimate),
                _plain(one.sd),
                *(_range(interval) for interval in (seeds, both)),
                *(_plain(value) for value in one.values),
            ]
        )
    return rows


def _row(gain: Gain, *, seeds: bool) -> list[str]:
    low, high = gain.difference.low, gain.difference.high
    spread: list[str] = []
    if seeds:
        over = gain.over_seeds
        spread = ["-" if gain.sd is None else _plain(gain.sd)]
        spread.append("-" if over is None else _limits(over.low, over.high))
    return [
        f"  {gain.group or _name(gain.score, gain.by)}",
        str(gain.films),
        _plain(gain.ours),
        _plain(gain.theirs),
        _signed(gain.difference.estimate),
        *spread,
        _limits(low, high),
        _p_value(gain.difference.p_value),
        gain.verdict,
    ]


def _name(score: str, by: str) -> str:
    name = SCORE_NAMES.get(score, score)
    return name.removeprefix("macro ") if by == "finding" else name


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.3f}"


def _limits(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}"


def _range(interval: Interval) -> str:
    return "-" if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"


def _p_value(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"
