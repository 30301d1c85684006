# SPDX-License-Identifier: Apache-2.0
"""Run directories compared: by how much the one model is better, and whether that is shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_kd.metrics import SCORES
from monai_kd.report.evaluated_run import EvaluatedRun, read_evaluated_run, seed_folders
from monai_kd.report.gains import Comparison
from monai_kd.report.localized import localized_gains
from monai_kd.report.paired import compare_predictions
from monai_kd.utils import MonaiKDError

__all__ = ["compare_runs", "compare_seeds"]

_NO_SETTING = ("versions", "findings", "sha256", "data", "seed")


def compare_runs(
    ours: str | os.PathLike[str],
    theirs: str | os.PathLike[str],
    *,
    metrics: Sequence[str] = tuple(SCORES),
) -> Comparison:
    """Compare two evaluated runs on the films that both have judged.

    Args:
        ours: run directory of the model that may be better.
        theirs: run directory of the model it is compared with.
        metrics: names of scores, see :func:`monai_kd.report.paired.compare_predictions`.

    Raises:
        MonaiKDError: if a run is not evaluated, its table is not what it should be, the two do not
            fit together, or no finding is both present and absent.
        ValueError: if a name is not one of :data:`monai_kd.metrics.SCORES`.
    """
    one = read_evaluated_run(Path(ours), name="A")
    other = read_evaluated_run(Path(theirs), name="B")
    compared = _compared([one], [other], metrics)
    return replace(compared, gains=[*compared.gains, *localized_gains(one.folder, other.folder)])


def compare_seeds(
    ours: str | os.PathLike[str],
    theirs: str | os.PathLike[str],
    *,
    metrics: Sequence[str] = tuple(SCORES),
) -> Comparison:
    """Compare two methods, each trained with several seeds, seed by seed.

    Args:
        ours: folder with the evaluated runs ``seed_0``, ``seed_1``, ... of the method that may be
            better.
        theirs: the same of the method it is compared with; seeds that only one of the two has are
            left out.
        metrics: names of scores, see :func:`monai_kd.report.paired.compare_predictions`.

    Raises:
        MonaiKDError: if fewer than two seeds are in both folders, and as :func:`compare_runs`.
        ValueError: if a name is not one of :data:`monai_kd.metrics.SCORES`.
    """
    folders, others = seed_folders(Path(ours)), seed_folders(Path(theirs))
    seeds = [seed for seed in folders if seed in others]
    if len(seeds) < 2:
        raise MonaiKDError(
            "compare_seeds: A and B must both hold the runs seed_0, seed_1, and so on, got "
            f"{len(seeds)} in common of {len(folders)} and {len(others)}. Make them with `python "
            "-m monai_kd seeds`."
        )
    compared = _compared(
        [read_evaluated_run(folders[seed], name=f"A, seed {seed}") for seed in seeds],
        [read_evaluated_run(others[seed], name=f"B, seed {seed}") for seed in seeds],
        metrics,
    )
    single = len(folders) + len(others) - 2 * len(seeds)
    notes = [f"{single} runs whose seed the other folder does not have are left out."]
    return replace(compared, seeds=seeds, notes=compared.notes + (notes if single else []))


def _compared(
    ours: list[EvaluatedRun], theirs: list[EvaluatedRun], metrics: Sequence[str]
) -> Comparison:
    for run in (*ours, *theirs):
        _check_pair(ours[0], run)
    compared = compare_predictions(
        [run.predictions for run in ours],
        [run.predictions for run in theirs],
        activation=ours[0].activation,
        metrics=metrics,
    )
    settings = _differing(ours[0].settings, theirs[0].settings)
    return replace(compared, section=ours[0].section, settings=settings)


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
