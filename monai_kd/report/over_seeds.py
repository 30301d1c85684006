# SPDX-License-Identifier: Apache-2.0
"""One method trained with several seeds: mean and spread of each score."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics import (
    SCORES,
    Interval,
    Predictions,
    json_limits,
    json_number,
    seeds_summary,
)
from monai_kd.report.evaluated_run import (
    patients_are_known,
    read_evaluated_run,
    seed_folders,
)
from monai_kd.report.one_method import check_seeds
from monai_kd.report.paired import in_one_order, known_labels
from monai_kd.utils import MonaiKDError

__all__ = ["SeedsScore", "SeedsTable", "summarize_seeds"]


@dataclass(frozen=True)
class SeedsScore:
    """One score of one method over its seeds.

    Args:
        score: name of the score, see :data:`monai_kd.metrics.SCORES`.
        finding: name of the finding, ``""`` for all.
        values: one per seed.
        sd: standard deviation from seed to seed, NaN for one seed.
        over_seeds: the mean with its interval over seeds alone.
        over_both: the mean with its interval over seeds and patients.
    """

    score: str
    finding: str
    values: list[float]
    sd: float
    over_seeds: Interval
    over_both: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for ``json.dump``, with None where the data cannot say."""
        return {
            "score": self.score,
            "finding": self.finding,
            "values": [json_number(value) for value in self.values],
            "mean": json_number(self.over_both.estimate),
            "sd": json_number(self.sd),
            "ci_seeds": json_limits(self.over_seeds),
            "ci_seeds_and_patients": json_limits(self.over_both),
        }


@dataclass(frozen=True)
class SeedsTable:
    """What :func:`summarize_seeds` finds.

    Args:
        seeds: numbers of the seeds.
        films: how many films every run has judged.
        patients: how many patients these are of, or None when that is not known.
        section: name of the evaluated section, or ``""``.
        scores: one for each score, then one for each finding.
    """

    seeds: list[int]
    films: int
    patients: int | None
    section: str
    scores: list[SeedsScore]

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for ``json.dump``; no id, no file name and no path is in it."""
        return {
            "seeds": self.seeds,
            "films": self.films,
            "patients": self.patients,
            "section": self.section,
            "scores": [score.as_dict() for score in self.scores],
        }


def summarize_seeds(folder: str | os.PathLike[str], *, seeds: Sequence[int] = ()) -> SeedsTable:
    """Return mean, spread and intervals of each score over the runs ``seed_0``, ``seed_1``, ...

    Args:
        folder: holds the evaluated runs.
        seeds: numbers of the runs; empty for all that are there.

    Raises:
        MonaiKDError: if there is no such run, or the runs are not of one method.
    """
    folders = seed_folders(Path(folder))
    chosen = list(seeds) or list(folders)
    if not chosen or not set(chosen) <= set(folders):
        raise MonaiKDError(
            "summarize_seeds: `folder` must hold the runs seed_0, seed_1, and so on, got "
            f"{len(set(chosen) & set(folders))} of {len(chosen)}. Make them with `python -m "
            "monai_kd seeds`."
        )
    runs = [read_evaluated_run(folders[seed], name=f"Seed {seed}") for seed in chosen]
    check_seeds(runs, name="summarize_seeds")
    tables = in_one_order([run.predictions for run in runs])
    probs = np.stack([table.prob for table in tables])
    first, known = tables[0], patients_are_known(runs)
    return SeedsTable(
        seeds=chosen,
        films=len(first),
        patients=len(set(first.patient_id)) if known and first.patient_id else None,
        section=runs[0].section,
        scores=list(_scores(probs, first, runs[0].activation)),
    )


def _scores(
    probs: NDArray[np.float64], table: Predictions, activation: str
) -> Iterator[SeedsScore]:
    label = known_labels(table, activation)
    columns = [(score, "", slice(None), activation) for score in SCORES]
    if len(table.findings) > 1:
        columns += [
            ("macro_auroc", finding, slice(c, c + 1), "sigmoid")
            for c, finding in enumerate(table.findings)
        ]
    for score, finding, c, decided in columns:
        found = seeds_summary(
            score,
            probs[..., c],
            label[:, c],
            activation=decided,
            patient_id=table.patient_id,
        )
        values = [float(value) for value in found.values]
        yield SeedsScore(score, finding, values, found.sd, found.seeds, found.both)
