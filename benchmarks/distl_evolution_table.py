# SPDX-License-Identifier: Apache-2.0
"""The tables of distl_evolution: AUROC by method and round, paired differences, the gap closed.

All intervals are 95% and over seeds and patients, see :func:`monai_kd.metrics.seeds_difference`,
unless a column says otherwise: what would other seeds give on other films? "Not shown" means that
the interval holds 0.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics import SeedsDifference, seeds_difference, seeds_summary

__all__ = ["Run", "fieller", "tables"]

METHODS = (
    "supervised", "self_supervised", "self_training", "fixmatch", "mean_teacher", "distl",
    "supervised_all",
)  # fmt: skip
ROUNDS = (0, 1, 2, 3)
Run = tuple[str, str, int, str]
"""Study, method, round and network (``student`` or ``teacher``) of a column of predictions."""


def tables(results: Path) -> str:
    """Return the tables of all data sets as Markdown.

    Args:
        results: folder with ``distl_evolution.csv`` and ``distl_predictions/``.
    """
    with (results / "distl_evolution.csv").open(newline="") as file:
        entries = list(csv.DictReader(file))
    lines: list[str] = []
    for data in dict.fromkeys(entry["data"] for entry in entries):
        kept = Kept(results, data, [entry for entry in entries if entry["data"] == data])
        for part in (_rounds, _differences, _gap, _networks, _studies, _gate):
            lines += [*part(kept), ""]
    return "\n".join(lines)


class Kept:
    """Rows and predictions of one data set.

    Args:
        results: folder of the predictions.
        data: name of the data set.
        rows: of the CSV, of this data set.
    """

    def __init__(self, results: Path, data: str, rows: list[dict[str, str]]) -> None:
        self.folder, self.data, self.rows = results / "distl_predictions", data, rows

    @cached_property
    def files(self) -> dict[tuple[str, int], dict[str, NDArray[Any]]]:
        """Predictions by study and seed."""
        out = {}
        for study, seed in {(row["study"], int(row["seed"])) for row in self.rows}:
            with np.load(self.folder / f"{self.data}_{study}_{seed}.npz") as file:
                out[study, seed] = {name: file[name] for name in file.files}
        return out

    @property
    def truth(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Labels and patients of the test films."""
        first = next(iter(self.files.values()))
        return first["label"], first["patient"]

    def seeds(self, *runs: Run) -> list[int]:
        """Return the seeds that all of these runs have."""
        each = [{s for (study, s), file in self.files.items() if study == run[0] and _key(run) in
                 file} for run in runs]  # fmt: skip
        return sorted(set.intersection(*each))

    def has(self, *runs: Run) -> bool:
        """Return whether any seed has all of these."""
        return bool(self.seeds(*runs))

    def probs(self, run: Run, seeds: Sequence[int]) -> NDArray[Any]:
        """Return what the network said, ``(S, N, C)``."""
        return np.stack([self.files[run[0], seed][_key(run)] for seed in seeds])

    def difference(self, run: Run, other: Run) -> SeedsDifference:
        """Return by how much the AUROC of one run is above that of another."""
        seeds, (label, patient) = self.seeds(run, other), self.truth
        return seeds_difference(
            "macro_auroc", self.probs(run, seeds), self.probs(other, seeds), label,
            activation="sigmoid", patient_id=patient,
        )  # fmt: skip


def _key(run: Run) -> str:
    return f"{run[1]}.{run[2]}.{run[3]}"


def _student(method: str, number: int = ROUNDS[-1], study: str = "methods") -> Run:
    return study, method, number, "student"


def _rounds(kept: Kept) -> Iterator[str]:
    label, patient = kept.truth
    seeds = kept.seeds(_student("distl"))
    yield (
        f"### {kept.data}: {len(seeds)} seed{'s' if len(seeds) > 1 else ''}, {len(label)} test "
        f"films of {len(set(patient))} patients\n"
    )
    if kept.data == "nih":
        yield (
            "All seeds have the same 62 labeled films, the release's own; 98 labeled validation "
            "films decide at the gates.\n"
        )
    else:
        yield "Each seed deals its own labeled films; more validation films decide at the gates.\n"
    yield "AUROC of the student in percent, with its interval:\n"
    yield f"| method | initial | {' | '.join(f'round {n}' for n in ROUNDS[1:])} |"
    yield "| --- |" + " --- |" * len(ROUNDS)
    for method in METHODS:
        runs = [_student(method, number) for number in ROUNDS]
        if kept.has(runs[-1]):
            yield f"| {method} | {' | '.join(_score(kept, run) for run in runs)} |"


def _score(kept: Kept, run: Run) -> str:
    seeds = kept.seeds(run)
    if not seeds:
        return "-"
    label, patient = kept.truth
    both = seeds_summary(
        "macro_auroc", kept.probs(run, seeds), label, activation="sigmoid", patient_id=patient
    ).both
    return f"{100 * both.estimate:.1f} ({100 * both.low:.1f} to {100 * both.high:.1f})"


def _differences(kept: Kept) -> Iterator[str]:
    yield "Points of AUROC, each pair with the same seeds and films:\n"
    yield "| difference | round | points | 95% CI, seeds | 95% CI, seeds and patients | shown? |"
    yield "| --- | --- | --- | --- | --- | --- |"
    last = ROUNDS[-1]
    pairs = [(_student("distl", n), _student("supervised", n)) for n in ROUNDS[1:]]
    pairs += [(_student("distl"), _student("distl", 0))]
    pairs += [(_student("distl"), _student(m)) for m in METHODS if m not in ("distl", "supervised")]
    pairs += [(_student(m), _student("supervised")) for m in METHODS[1:] if m != "distl"]
    for run, other in pairs:
        if kept.has(run, other):
            name = other[1] if other[2] == run[2] else "the initial model"
            when = run[2] if other[2] == run[2] else last
            gain = kept.difference(run, other)
            yield (
                f"| {run[1]} minus {name} | {when} | {100 * gain.mean:+.1f} | {_span(gain.seeds)} "
                f"| {_span(gain.both)} | {gain.both.verdict} |"
            )


def _gap(kept: Kept) -> Iterator[str]:
    """How much of what all labels would gain is gained without them."""
    floor, ceiling = _student("supervised"), _student("supervised_all")
    if not kept.has(floor, ceiling):
        return
    gap = kept.difference(ceiling, floor)
    yield (
        f"All labels would gain {100 * gap.mean:+.1f} points ({_span(gap.both)}) over the labeled "
        "tenth in the last round. Share of this gap that is closed without them:\n"
    )
    yield "| method | gap closed | 95% CI (Fieller) |"
    yield "| --- | --- | --- |"
    for method in METHODS[1:-1]:
        run = _student(method)
        if kept.has(run, floor, ceiling):
            gain, rest = kept.difference(run, floor), kept.difference(run, ceiling)
            low, high = fieller(gain.both, gap.both, rest.both)
            told = "the gap itself is not shown" if math.isnan(low) else f"{low:.0%} to {high:.0%}"
            yield f"| {method} | {_ratio(gain.mean, gap.mean)} | {told} |"


def fieller(
    gain: Sequence[float], gap: Sequence[float], rest: Sequence[float]
) -> tuple[float, float]:
    """Return the limits of ``gain / gap`` by Fieller's theorem, NaN where ``gap`` may be 0.

    The covariance of the two comes from ``rest``, the difference between them, measured on the same
    seeds and films.

    Args:
        gain: of a method over the floor: estimate and limits.
        gap: of the ceiling over the floor.
        rest: of the method over the ceiling.

    Source: Fieller, "Some problems in interval estimation", Journal of the Royal Statistical
    Society B 16, 1954. Half widths in place of standard errors times one quantile are ours.
    """
    (a, a2), (b, b2), (_, c2) = (
        (one[0], ((one[2] - one[1]) / 2) ** 2) for one in (gain, gap, rest)
    )
    shared = (a2 + b2 - c2) / 2
    square, middle, end = b * b - b2, a * b - shared, a * a - a2
    inside = middle * middle - square * end
    if not square > 0 or inside < 0:
        return math.nan, math.nan
    root = math.sqrt(inside)
    return (middle - root) / square, (middle + root) / square


def _networks(kept: Kept) -> Iterator[str]:
    """The teacher of distl, and what the gate delivers, in place of the last student."""
    teacher, student = ("methods", "distl", ROUNDS[-1], "teacher"), _student("distl")
    if kept.has(teacher, student):
        yield (
            f"distl's teacher after the last round: {_score(kept, teacher)}, "
            f"{_points(kept.difference(teacher, student))} against its student."
        )
    seeds = kept.seeds(student, _student("supervised"))
    if seeds:
        label, patient = kept.truth
        gain = seeds_difference(
            "macro_auroc", _delivered(kept, "distl", seeds), _delivered(kept, "supervised", seeds),
            label, activation="sigmoid", patient_id=patient,
        )  # fmt: skip
        yield f"What the gates deliver, distl minus supervised: {_points(gain)}."


def _delivered(kept: Kept, method: str, seeds: Sequence[int]) -> NDArray[Any]:
    number = {
        int(row["seed"]): int(row["round"])
        for row in kept.rows
        if row["study"] == "methods" and row["method"] == method and row["delivered"] == "1"
    }
    return np.concatenate([kept.probs(_student(method, number[seed]), [seed]) for seed in seeds])


def _studies(kept: Kept) -> Iterator[str]:
    """Labels that are wrong, films of another hospital, parts that are missing."""
    whole = _student("distl")
    names = [n for n in dict.fromkeys(row["study"] for row in kept.rows) if n != "methods"]
    if not names or not kept.has(whole):
        return
    yield "distl after the last round when something is wrong or missing:\n"
    yield "| study | distl | minus distl as it is | minus supervised with these labels |"
    yield "| --- | --- | --- | --- |"
    for name in names:
        run = _student("distl", study=name)
        if not kept.has(run, whole):
            continue
        change = kept.difference(run, whole)
        floor = _student("supervised", study=name)  # other labels; else those of the methods
        floor = floor if kept.has(floor) else _student("supervised")
        over = kept.difference(run, floor) if kept.has(run, floor) else None
        yield (
            f"| {name} | {_score(kept, run)} | {_points(change)} | "
            f"{_points(over) if over else '-'} |"
        )


def _gate(kept: Kept) -> Iterator[str]:
    """What validation accepted, and what the test says of it."""
    chains: dict[str, list[dict[str, str]]] = {}
    for row in kept.rows:
        if (row["study"], row["method"], row["network"]) == ("methods", "distl", "student"):
            chains.setdefault(row["seed"], []).append(row)
    gains: dict[str, list[float]] = {"1": [], "0": []}
    for chain in chains.values():
        stands = chain[0]
        for row in chain[1:]:
            gains[row["accepted"]].append(float(row["macro_auroc"]) - float(stands["macro_auroc"]))
            stands = row if row["accepted"] == "1" else stands
    delivered = Counter(
        row["round"] for c in chains.values() for row in c if row["delivered"] == "1"
    )
    yield (
        f"Gate of distl: {len(gains['1'])} rounds accepted (test AUROC against the last accepted "
        f"one: {_mean(gains['1'])} points), {len(gains['0'])} refused ({_mean(gains['0'])}). "
        "Delivered: "
        + ", ".join(f"round {number} in {count}" for number, count in sorted(delivered.items()))
        + f" of {len(chains)} seeds."
    )


def _points(gain: SeedsDifference) -> str:
    return f"{100 * gain.mean:+.1f} ({_span(gain.both)}), {gain.both.verdict}"


def _span(interval: Any) -> str:
    if math.isnan(interval.low):
        return "-"  # one seed says nothing of seeds
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"


def _mean(values: list[float]) -> str:
    return f"{100 * np.mean(values):+.1f}" if values else "none"


def _ratio(gain: float, gap: float) -> str:
    return f"{gain / gap:.0%}" if gap > 0 else "-"
