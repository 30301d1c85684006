# SPDX-License-Identifier: Apache-2.0
"""The tables of aals_fracatlas: AUROC of films, FROC score of fractures, what each arm gains.

All intervals are 95%, over seeds and films, as :func:`monai_kd.metrics.seeds_difference` makes
them: what would other seeds give on other films? For the FROC score the variance over films is the
bootstrap's. "Not shown" means that the interval holds 0. One seed says nothing of seeds; its
intervals are over films alone.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics import Candidates, froc_curve, recall_at, seeds_difference, seeds_summary
from monai_kd.metrics.bootstrap import Statistic, bootstrap
from monai_kd.metrics.froc import FROC_RATES
from monai_kd.metrics.froc_score import weighted_froc_score
from monai_kd.metrics.limits import logit_interval, student_quantile

__all__ = ["Error", "error_over_seeds", "froc_gain", "froc_mean", "tables"]

ARMS = ("first_stage", "supervised", "cam", "mean_teacher", "hard", "symmetric", "aals",
        "aals_center_0.4", "all_boxes")  # fmt: skip
PAIRS = (
    *(("aals", other) for other in ("supervised", "mean_teacher", "hard", "symmetric", "cam",
                                    "aals_center_0.4", "first_stage")),
    *((one, "supervised") for one in ("mean_teacher", "hard", "symmetric", "aals_center_0.4",
                                      "all_boxes")),
    ("all_boxes", "aals"),
)  # fmt: skip
FloatArray = NDArray[np.float64]


class Error(NamedTuple):
    """Standard error of a mean over seeds, its degrees of freedom, films with lesions."""

    error: float
    df: float
    cases: int


def tables(results: Path) -> str:
    """Return the tables as Markdown.

    Args:
        results: folder with ``aals_fracatlas.csv`` and ``aals_predictions/``.
    """
    kept = Kept(results)
    lines: list[str] = []
    for part in (_scores, _gains, _training):
        lines += [*part(kept), ""]
    return "\n".join(lines)


class Kept:
    """Rows and predictions of all runs.

    Args:
        results: see :func:`tables`.
    """

    def __init__(self, results: Path) -> None:
        self.folder = results / "aals_predictions"
        with (results / "aals_fracatlas.csv").open(newline="") as file:
            self.rows = list(csv.DictReader(file))

    @cached_property
    def files(self) -> dict[tuple[str, int], dict[str, NDArray[Any]]]:
        """What was said of the test films, by arm and seed.

        Raises:
            SystemExit: if runs were asked of different films.
        """
        out: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}
        for row in self.rows:
            arm, seed = row["arm"], int(row["seed"])
            with np.load(self.folder / f"{arm}_{seed}.npz") as file:
                out[arm, seed] = {name: file[name] for name in file.files}
        first = next(iter(out.values()))
        for (arm, seed), file in out.items():
            if any(not np.array_equal(file[key], first[key]) for key in ("film", "label")):
                raise SystemExit(f"{arm}_{seed}: the runs were asked of different films.")
        return out

    def seeds(self, *arms: str) -> list[int]:
        """Return the seeds that all of these arms have."""
        each = [{seed for name, seed in self.files if name == arm} for arm in arms]
        return sorted(set.intersection(*each))

    @property
    def label(self) -> NDArray[Any]:
        """Labels of the test films, ``(N, 1)``."""
        return next(iter(self.files.values()))["label"]

    def probs(self, arm: str, seeds: Sequence[int]) -> FloatArray:
        """Return what the networks said of the films, ``(S, N, 1)``."""
        return np.stack([self.files[arm, seed]["prob"] for seed in seeds])

    def candidates(self, arm: str, seeds: Sequence[int]) -> list[Candidates]:
        """Return where they pointed, one set per seed."""
        return [_candidates(self.files[arm, seed]) for seed in seeds]


def _candidates(file: dict[str, NDArray[Any]]) -> Candidates:
    none = np.zeros((len(file["score"]), 4))
    return Candidates(file["image"], file["score"], none, file["lesion"], file["lesions"])


def froc_mean(candidates: Sequence[Candidates]) -> tuple[float, float, float]:
    """Return the FROC score over seeds, and its limits.

    Args:
        candidates: one set per seed, on the same films in the same order.
    """
    values, found = _over_films([_weighted(one) for one in candidates], candidates[0])
    mean = float(values.mean())
    low, high = logit_interval(mean, found.error, found.df, cases=found.cases, level=0.95)[1:]
    return mean, low, high


def froc_gain(
    candidates: Sequence[Candidates], other: Sequence[Candidates]
) -> tuple[float, float, float]:
    """Return by how much the FROC score of one arm is above that of another, and the limits.

    Args:
        candidates: of the one arm, one set per seed, on the same films in the same order.
        other: of the other arm, the same seeds in the same order.
    """
    gains = [_less(_weighted(a), _weighted(b)) for a, b in zip(candidates, other, strict=True)]
    values, found = _over_films(gains, candidates[0])
    step = student_quantile(0.95, found.df) * found.error
    mean = float(values.mean())
    return mean, mean - step, mean + step


def _weighted(candidates: Candidates) -> Statistic:
    return weighted_froc_score(candidates, np.arange(candidates.images), FROC_RATES)


def _less(one: Statistic, other: Statistic) -> Statistic:
    return lambda count: one(count) - other(count)


def _over_films(each: Sequence[Statistic], films: Candidates) -> tuple[FloatArray, Error]:
    """A value per seed, and the error of their mean; all seeds meet the same resampled films."""
    once = np.ones((1, films.images), np.int64)
    values = np.array([float(statistic(once)[0]) for statistic in each])
    drawn = bootstrap(lambda count: np.stack([s(count) for s in each], 1), films.images)
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    return values, error_over_seeds(values, drawn, cases=int((films.lesions > 0).sum()))


def error_over_seeds(values: FloatArray, drawn: FloatArray, *, cases: int) -> Error:
    """Return the error of a mean over seeds, for other seeds on other films.

    See :mod:`monai_kd.metrics.seeds` for the formula; the variances over films are those of
    resamples here.

    Args:
        values: one per seed, ``(S,)``.
        drawn: the same of resampled films, ``(R, S)``.
        cases: films that decide, at least 2.
    """
    count, factor = len(values), cases / (cases - 1)
    of_mean = float(drawn.mean(axis=1).var(ddof=1)) * factor
    if count == 1:
        return Error(math.sqrt(of_mean), cases - 1.0, cases)
    of_each = float(drawn.var(axis=0, ddof=1).mean()) * factor
    shared = max((count * of_mean - of_each) / (count - 1), 0.0)
    from_seeds = float(values.var(ddof=1)) / count
    total = from_seeds + shared
    if not total > 0:
        return Error(math.sqrt(of_mean), cases - 1.0, cases)
    df = total**2 / (from_seeds**2 / (count - 1) + shared**2 / (cases - 1))
    return Error(math.sqrt(max(total, of_mean)), df, cases)


def _scores(kept: Kept) -> Iterator[str]:
    label = kept.label
    lesions = int(next(iter(kept.files.values()))["lesions"].sum())
    yield (
        f"### {len(label)} test films, {int(label.sum())} with a fracture, {lesions} fractures "
        "drawn\n"
    )
    yield "In percent, with intervals over seeds and films:\n"
    yield "| arm | seeds | AUROC of the films | FROC score | recall at 1 FP per film |"
    yield "| --- | --- | --- | --- | --- |"
    for arm in ARMS:
        seeds = kept.seeds(arm)
        if seeds:
            auroc = seeds_summary(
                "macro_auroc", kept.probs(arm, seeds), label, activation="sigmoid"
            ).both
            found = kept.candidates(arm, seeds)
            recall = np.mean([recall_at(froc_curve(one), (1.0,))[0] for one in found])
            yield (
                f"| {arm} | {len(seeds)} | {_percent(*auroc[:3])} | {_percent(*froc_mean(found))} "
                f"| {100 * recall:.1f} |"
            )


def _gains(kept: Kept) -> Iterator[str]:
    yield "Points, each pair with the same seeds and films:\n"
    yield "| difference | AUROC | shown? | FROC score | shown? |"
    yield "| --- | --- | --- | --- | --- |"
    for arm, other in PAIRS:
        seeds = kept.seeds(arm, other)
        if seeds:
            auroc = seeds_difference(
                "macro_auroc", kept.probs(arm, seeds), kept.probs(other, seeds), kept.label,
                activation="sigmoid",
            ).both  # fmt: skip
            froc = froc_gain(kept.candidates(arm, seeds), kept.candidates(other, seeds))
            yield (
                f"| {arm} minus {other} | {_points(*auroc[:3])} | {auroc.verdict} | "
                f"{_points(*froc)} | {_verdict(*froc)} |"
            )


def _training(kept: Kept) -> Iterator[str]:
    """What validation said of the chosen epochs, and what the teachers pointed at."""
    yield "Means over seeds of the training:\n"
    yield (
        "| arm | validation AUROC | validation FROC | epoch | teacher's peak above the center | "
        "pseudo labels inside hidden boxes | minutes |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for arm in ARMS:
        rows = [row for row in kept.rows if row["arm"] == arm]
        if rows:
            yield (
                f"| {arm} | {_share(rows, 'validation_auroc')} | {_share(rows, 'validation_froc')} "
                f"| {', '.join(row['epoch'] for row in rows)} | {_share(rows, 'above_center')} | "
                f"{_share(rows, 'pseudo_precision')} | {_mean(rows, 'seconds') / 60:.1f} |"
            )


def _percent(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _points(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _verdict(mean: float, low: float, high: float) -> str:
    if low <= 0 <= high:
        return "not shown"
    return "gain shown" if mean > 0 else "loss shown"


def _mean(rows: Sequence[dict[str, str]], column: str) -> float:
    return float(np.mean([float(row[column]) for row in rows]))


def _share(rows: Sequence[dict[str, str]], column: str) -> str:
    mean = _mean(rows, column)
    return f"{100 * mean:.1f}" if math.isfinite(mean) else "-"
