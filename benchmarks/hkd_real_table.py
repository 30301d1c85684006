# SPDX-License-Identifier: Apache-2.0
"""The table of hkd_real: mean and SD over seeds, paired differences with two 95% intervals.

Both intervals are of the difference between two methods of the same seed. *seeds* is Student's t
over the seeds: would another training come out alike? *seeds and patients* resamples seeds, and
within them patients: would other films come out alike, too?
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["table"]

RESAMPLES = 2000
PAIRS = (
    ("soft_target", "baseline"),
    ("self_distillation", "baseline"),
    ("hkd", "baseline"),
    ("hkd_region", "baseline"),
    ("hkd", "self_distillation"),
)
SCORES = ("accuracy", "macro_f1", "macro_auroc")
Rows = dict[str, dict[int, dict[str, float]]]
Score = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], float]


def table(results: Path) -> str:
    """Return the tables of all data sets as Markdown.

    Args:
        results: folder with ``hkd_real.csv`` and ``predictions/``.
    """
    return "\n".join(line for data, rows in _read(results) for line in _lines(results, data, rows))


def _read(results: Path) -> Iterator[tuple[str, Rows]]:
    with (results / "hkd_real.csv").open(newline="") as file:
        entries = list(csv.DictReader(file))
    for data in dict.fromkeys(entry["data"] for entry in entries):
        rows: Rows = {}
        for entry in entries:
            if entry["data"] == data:
                numbers = {k: float(v) for k, v in entry.items() if k not in ("data", "method")}
                rows.setdefault(entry["method"], {})[int(entry["seed"])] = numbers
        yield data, rows


def _lines(results: Path, data: str, rows: Rows) -> Iterator[str]:
    first = next(iter(rows["baseline"].values()))
    yield f"### {data}: {len(rows['baseline'])} seeds, {first['n_test']:.0f} test images\n"
    yield "| method | accuracy | macro F1 | macro AUROC | CAM mass inside (region's share) |"
    yield "| --- | --- | --- | --- | --- |"
    for method, seeds in rows.items():
        cells = " | ".join(_mean_sd([run[score] for run in seeds.values()]) for score in SCORES)
        inside = _mean_sd([run["mass_inside"] for run in seeds.values()])
        share = np.mean([run["region_share"] for run in seeds.values()])
        yield f"| {method} | {cells} | {inside} ({share:.3f}) |"
    yield "\n| difference | points | 95% CI, seeds | 95% CI, seeds and patients | shown? |"
    yield "| --- | --- | --- | --- | --- |"
    for method, reference in PAIRS:
        if method in rows and reference in rows:
            yield from _differences(results, data, (method, reference), rows)
    yield ""


def _differences(results: Path, data: str, pair: tuple[str, str], rows: Rows) -> Iterator[str]:
    method, reference = pair
    seeds = sorted(set(rows[method]) & set(rows[reference]))
    for name, score in (("accuracy", _accuracy), ("macro AUROC", _macro_auroc)):
        key = name.replace(" AUROC", "_auroc")
        gains = [rows[method][seed][key] - rows[reference][seed][key] for seed in seeds]
        low, high = _t_interval(gains)
        both = _seeds_and_patients(results, data, pair, seeds, score)
        shown = "yes" if low * high > 0 and both[0] * both[1] > 0 else "not shown"
        yield (
            f"| {method} minus {reference}, {name} | {100 * np.mean(gains):+.1f} | "
            f"{_span(low, high)} | {_span(*both)} | {shown} |"
        )


def _t_interval(gains: list[float]) -> tuple[float, float]:
    if len(gains) < 2:
        return float("-inf"), float("inf")
    half = stats.t.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / np.sqrt(len(gains))
    return float(np.mean(gains) - half), float(np.mean(gains) + half)


def _seeds_and_patients(
    results: Path, data: str, pair: tuple[str, str], seeds: list[int], score: Score
) -> tuple[float, float]:
    runs = {seed: [_load(results, data, method, seed) for method in pair] for seed in seeds}
    random = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        gains = []
        patients = runs[seeds[0]][0]["patient"]
        weight = np.bincount(
            random.integers(0, patients.max() + 1, patients.max() + 1), minlength=patients.max() + 1
        )[patients]
        for seed in random.choice(seeds, len(seeds)):
            ours, theirs = runs[seed]
            gains.append(
                score(ours["prob"], ours["label"], weight)
                - score(theirs["prob"], theirs["label"], weight)
            )
        draws.append(np.mean(gains))
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def _load(results: Path, data: str, method: str, seed: int) -> dict[str, NDArray[Any]]:
    with np.load(results / "predictions" / f"{data}_{method}_{seed}.npz") as file:
        return {name: file[name] for name in file.files}


def _accuracy(prob: NDArray[Any], label: NDArray[Any], weight: NDArray[Any]) -> float:
    return float(np.average(prob.argmax(1) == label.argmax(1), weights=weight))


def _macro_auroc(prob: NDArray[Any], label: NDArray[Any], weight: NDArray[Any]) -> float:
    return float(np.mean([_auroc(prob[:, c], label[:, c], weight) for c in range(label.shape[1])]))


def _auroc(prob: NDArray[Any], label: NDArray[Any], weight: NDArray[Any]) -> float:
    """Weighted AUROC: the chance that a positive stands above a negative, ties count half."""
    _, rank = np.unique(prob, return_inverse=True)
    positive = np.bincount(rank, weight * (label == 1))
    negative = np.bincount(rank, weight * (label == 0), minlength=len(positive))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + 0.5 * negative)).sum() / pairs)


def _mean_sd(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"


def _span(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"
