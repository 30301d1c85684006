# SPDX-License-Identifier: Apache-2.0
"""The table of hkd_real: mean and SD over seeds, paired differences with two 95% intervals.

Both intervals are of the difference between two methods of the same seed, see
:func:`monai_kd.metrics.seeds_difference`. *seeds* is Student's t over the seeds: would another
training come out alike? *seeds and patients*: would other films come out alike, too?
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics import Difference, seeds_difference

__all__ = ["table"]

PAIRS = (
    ("soft_target", "baseline"),
    ("self_distillation", "baseline"),
    ("hkd", "baseline"),
    ("hkd_region", "baseline"),
    ("hkd", "self_distillation"),
)
SCORES = ("accuracy", "macro_f1", "macro_auroc")
Rows = dict[str, dict[int, dict[str, float]]]


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
    ours, theirs = (
        [_load(results, data, name, seed) for seed in seeds] for name in (method, reference)
    )
    for score in ("accuracy", "macro_auroc"):
        gain = seeds_difference(
            score,
            np.stack([run["prob"] for run in ours]),
            np.stack([run["prob"] for run in theirs]),
            ours[0]["label"],
            activation="softmax",
            patient_id=ours[0]["patient"],
        )
        yield (
            f"| {method} minus {reference}, {score.replace('_auroc', ' AUROC')} | "
            f"{100 * gain.mean:+.1f} | {_span(gain.seeds)} | {_span(gain.both)} | "
            f"{gain.both.verdict} |"
        )


def _load(results: Path, data: str, method: str, seed: int) -> dict[str, NDArray[Any]]:
    with np.load(results / "predictions" / f"{data}_{method}_{seed}.npz") as file:
        return {name: file[name] for name in file.files}


def _mean_sd(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}"


def _span(interval: Difference) -> str:
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
