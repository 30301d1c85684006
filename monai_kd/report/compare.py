# SPDX-License-Identifier: Apache-2.0
"""Run directories compared: by how much the one model is better, and whether that is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_kd.metrics import SCORES
from monai_kd.report.evaluated_run import (
    EvaluatedRun,
    check_folder,
    patients_are_known,
    read_evaluated_run,
    seed_folders,
)
from monai_kd.report.gains import Comparison
from monai_kd.report.localized import has_localization, localized_gains
from monai_kd.report.one_method import check_seeds
from monai_kd.report.paired import compare_predictions
from monai_kd.utils import MonaiKDError, check_choice

__all__ = ["COMPARED", "compare_runs", "compare_seeds"]

_FROC = "froc_score"
COMPARED = (*SCORES, _FROC)
"""Names of what can be compared."""
_HAVE = {1: "has", 2: "have"}
_NO_SETTING = ("versions", "findings", "sha256", "data", "seed", "films_without_patient")


def compare_runs(
    ours: str | os.PathLike[str],
    theirs: str | os.PathLike[str],
    *,
    metrics: Sequence[str] = COMPARED,
) -> Comparison:
    """Compare two evaluated runs on the films that both have judged.

    Args:
        ours: run directory of the model that may be better.
        theirs: run directory of the model it is compared with.
        metrics: some of :data:`COMPARED`, each once; what the first is also used for, see
            :func:`monai_kd.report.paired.compare_predictions`.

    Raises:
        MonaiKDError: if a run is not evaluated, its table is not what it should be, the two do not
            fit together, or no finding is both present and absent.
        ValueError: if a name is not one of :data:`COMPARED`, or stands twice.
    """
    _check_metrics(metrics)
    one = read_evaluated_run(Path(ours), name="A")
    other = read_evaluated_run(Path(theirs), name="B")
    compared = _compared([one], [other], metrics)
    if _FROC not in metrics:
        return compared
    lacking = [
        name
        for name, run in (("A", one), ("B", other))
        if not has_localization(run.folder, name=name)
    ]
    if not lacking:
        gains = localized_gains(one.folder, other.folder)
        return replace(compared, gains=[*compared.gains, *gains])
    if len(lacking) == 1 or tuple(metrics) != COMPARED:
        why = f"{' and '.join(lacking)} {_HAVE[len(lacking)]} no candidates.csv and lesions.csv."
        return _without_froc(compared, why)
    return compared


def compare_seeds(
    ours: str | os.PathLike[str],
    theirs: str | os.PathLike[str],
    *,
    metrics: Sequence[str] = COMPARED,
) -> Comparison:
    """Compare two methods, each trained with several seeds, seed by seed.

    Args:
        ours: folder with the evaluated runs ``seed_0``, ``seed_1``, ... of the method that may be
            better.
        theirs: the same of the method it is compared with; seeds that only one of the two has are
            left out.
        metrics: some of :data:`COMPARED`, each once; what the first is also used for, see
            :func:`monai_kd.report.paired.compare_predictions`.

    Raises:
        MonaiKDError: if fewer than two seeds are in both folders, and as :func:`compare_runs`.
        ValueError: if a name is not one of :data:`COMPARED`, or stands twice.
    """
    _check_metrics(metrics)
    check_folder(Path(ours), name="A")
    check_folder(Path(theirs), name="B")
    folders, others = seed_folders(Path(ours)), seed_folders(Path(theirs))
    seeds = [seed for seed in folders if seed in others]
    if len(seeds) < 2:
        raise MonaiKDError(
            "compare_seeds: A and B must both hold the runs seed_0, seed_1, and so on, got "
            f"{len(seeds)} in common of {len(folders)} and {len(others)}. Make them with `python "
            "-m monai_kd seeds`."
        )
    one = [read_evaluated_run(folders[seed], name=f"A, seed {seed}") for seed in seeds]
    other = [read_evaluated_run(others[seed], name=f"B, seed {seed}") for seed in seeds]
    check_seeds(one, name="A")
    check_seeds(other, name="B")
    compared = replace(_compared(one, other, metrics), seeds=seeds)
    single = len(folders) + len(others) - 2 * len(seeds)
    notes = [f"{single} runs whose seed the other folder does not have are left out."]
    compared = replace(compared, notes=compared.notes + (notes if single else []))
    if _FROC in metrics and (tuple(metrics) != COMPARED or _any_localized(one, other)):
        return _without_froc(compared, "over seeds it is not known. Compare single runs for it.")
    return compared


def _any_localized(*methods: Sequence[EvaluatedRun]) -> bool:
    return any((run.folder / "lesions.csv").is_file() for runs in methods for run in runs)


def _check_metrics(metrics: Sequence[str]) -> None:
    for name in metrics:
        check_choice("compare", "metric", name, COMPARED)
    twice = next((name for name in metrics if list(metrics).count(name) > 1), None)
    if twice:
        raise ValueError(
            f"compare: `metric` must name each score once, got {twice} twice. Leave one out."
        )


def _without_froc(compared: Comparison, why: str) -> Comparison:
    if not compared.gains:
        raise MonaiKDError(f"compare: the FROC score cannot be compared, {why}")
    return replace(compared, notes=[*compared.notes, f"The FROC score is left out: {why}"])


def _compared(
    ours: list[EvaluatedRun], theirs: list[EvaluatedRun], metrics: Sequence[str]
) -> Comparison:
    for run in (*ours, *theirs):
        _check_pair(ours[0], run)
    compared = compare_predictions(
        [run.predictions for run in ours],
        [run.predictions for run in theirs],
        activation=ours[0].activation,
        metrics=[name for name in metrics if name != _FROC],
    )
    notes = [*compared.notes, *_changed_on_the_way("A", ours), *_changed_on_the_way("B", theirs)]
    compared = replace(
        compared,
        section=ours[0].section,
        settings=_differing(ours[0].settings, theirs[0].settings),
        notes=notes,
    )
    if compared.patients is None or patients_are_known([*ours, *theirs]):
        return compared
    note = "Patients are not known of every film: such a film counts as a patient of its own."
    return replace(compared, notes=[*notes, note], patients=None)


def _changed_on_the_way(name: str, runs: list[EvaluatedRun]) -> Iterator[str]:
    """What ``config.json`` says that a resumed run was trained with for a while."""
    entries = [entry for run in runs for entry in run.settings.get("resumed") or []]
    for setting in ("learning_rate", "precision"):
        if any(isinstance(entry, dict) and setting in entry for entry in entries):
            yield f"{name} was resumed with another {setting} than it began with."


def _check_pair(ours: EvaluatedRun, theirs: EvaluatedRun) -> None:
    for what, one, other in (
        ("section", ours.section, theirs.section),
        ("activation", ours.activation, theirs.activation),
    ):
        if one and other and one != other:
            raise MonaiKDError(
                f"compare: all runs must be evaluated with the same `{what}`, got {one} and "
                f"{other}. Evaluate them on the same section of one datalist."
            )


def _differing(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """The plain settings in which two trainings differ."""
    both = [name for name in ours if name in theirs and name not in _NO_SETTING]
    pairs = {name: (ours[name], theirs[name]) for name in both}
    return {
        name: pair
        for name, pair in pairs.items()
        if pair[0] != pair[1] and all(isinstance(value, str | int | float) for value in pair)
    }
