# SPDX-License-Identifier: Apache-2.0
"""Two models on the same films, film by film: over all, by finding, by group of patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics import (
    SCORES,
    Predictions,
    match_predictions,
    seeds_difference,
    subgroup_masks,
)
from monai_kd.report.gains import Comparison, Gain
from monai_kd.utils import MonaiKDError, check_choice

__all__ = ["compare_predictions", "in_one_order", "known_labels"]

_OF_ONE_FINDING = ("macro_auroc", "macro_auprc", "brier")  # the others decide between findings


def compare_predictions(
    ours: Sequence[Predictions],
    theirs: Sequence[Predictions],
    *,
    activation: str,
    metrics: Sequence[str] = tuple(SCORES),
) -> Comparison:
    """Compare what two models said of the same films, once or once for each seed.

    Args:
        ours: predictions of the model that may be better, one for each seed.
        theirs: those of the other model, equally many, seed by seed.
        activation: ``"softmax"`` or ``"sigmoid"``.
        metrics: names of scores; the first is also given by group, and the first that one finding
            alone can have is given by finding.

    Raises:
        MonaiKDError: if the tables do not fit together, or no finding is both present and absent.
        ValueError: if a name is not one of :data:`monai_kd.metrics.SCORES`.
    """
    for name in metrics:
        check_choice("compare", "metric", name, SCORES)
    tables = in_one_order([*ours, *theirs])
    first, count = tables[0], len(ours)
    pair = _Pair(
        prob=np.stack([table.prob for table in tables[:count]]),
        other=np.stack([table.prob for table in tables[count:]]),
        label=known_labels(first, activation),
        patient_id=None if first.patient_id is None else np.asarray(first.patient_id),
        activation=activation,
    )
    _check_classes(pair.label)
    left_out = max(len(table) for table in (*ours, *theirs)) - len(first)
    return Comparison(
        films=len(first),
        patients=None if first.patient_id is None else len(set(first.patient_id)),
        gains=list(_gains(pair, first, list(metrics))),
        notes=[*_notes(pair, left_out), *_small_groups(first)],
    )


def in_one_order(tables: Sequence[Predictions]) -> list[Predictions]:
    """Return all tables with the films that every one of them holds, in the order of the first.

    Args:
        tables: predictions of several models.

    Raises:
        MonaiKDError: if they do not fit together, see :func:`monai_kd.metrics.match_predictions`.
    """
    first = tables[0]
    for table in tables[1:]:
        first, _ = match_predictions(first, table)
    return [first, *(match_predictions(first, table)[1] for table in tables[1:])]


def known_labels(table: Predictions, activation: str) -> NDArray[np.float64]:
    """Return the labels; for softmax, a film with any unknown label is unknown as a whole.

    Args:
        table: predictions of one model.
        activation: ``"softmax"`` or ``"sigmoid"``.
    """
    if activation != "softmax":
        return table.label
    return np.where(np.isnan(table.label).any(axis=1, keepdims=True), np.nan, table.label)


@dataclass(frozen=True)
class _Pair:
    """Both models on the same films: ``prob`` and ``other`` are (S, N, C), S seeds."""

    prob: NDArray[np.float64]
    other: NDArray[np.float64]
    label: NDArray[np.float64]
    patient_id: NDArray[np.str_] | None
    activation: str

    def of_films(self, chosen: NDArray[np.bool_]) -> _Pair:
        """The same, on some of the films."""
        patient = None if self.patient_id is None else self.patient_id[chosen]
        prob, other = self.prob[:, chosen], self.other[:, chosen]
        return _Pair(prob, other, self.label[chosen], patient, self.activation)

    def of_finding(self, column: int) -> _Pair:
        """The same, of one finding."""
        c = slice(column, column + 1)
        prob, other = self.prob[..., c], self.other[..., c]
        return _Pair(prob, other, self.label[:, c], self.patient_id, "sigmoid")

    def gain(self, score: str, by: str = "", group: str = "") -> Gain:
        """The line of one score."""
        films = int((~np.isnan(self.label)).any(axis=1).sum())
        ours, theirs = (
            float(np.mean([SCORES[score](p, self.label, activation=self.activation)[0] for p in s]))
            for s in (self.prob, self.other)
        )
        found = seeds_difference(
            score,
            self.prob,
            self.other,
            self.label,
            activation=self.activation,
            patient_id=self.patient_id,
        )
        line = Gain(score, by, group, films, ours, theirs, found.both)
        return replace(line, over_seeds=found.seeds, sd=found.sd) if len(self.prob) > 1 else line


def _gains(pair: _Pair, table: Predictions, metrics: list[str]) -> Iterator[Gain]:
    for score in metrics:
        yield pair.gain(score)
    single = next((score for score in metrics if score in _OF_ONE_FINDING), None)
    if single is not None and len(table.findings) > 1:
        for column, finding in enumerate(table.findings):
            yield pair.of_finding(column).gain(single, "finding", finding)
    for (by, group), chosen in _groups(table).items() if metrics else ():
        if not np.all(chosen):  # a group of everyone says nothing new
            yield pair.of_films(np.asarray(chosen, bool)).gain(metrics[0], by, group)


def _check_classes(label: NDArray[np.float64]) -> None:
    if not ((label == 1).any(axis=0) & (label == 0).any(axis=0)).any():
        raise MonaiKDError(
            "compare: at least one finding must be present on some films and absent on others, got "
            "one class only. Evaluate a section that holds both."
        )


def _notes(pair: _Pair, left_out: int) -> list[str]:
    notes = []
    if left_out:
        notes.append(f"{left_out} films that not every run has judged are left out.")
    if np.array_equal(pair.prob, pair.other):
        notes.append("Both models give every film the same probabilities.")
    if pair.patient_id is None:
        notes.append("Patients are not known: every film counts as a patient of its own.")
    return notes


def _groups(table: Predictions) -> dict[tuple[str, str], NDArray[np.bool_]]:
    known = ~np.isnan(table.label).all(axis=1)
    return subgroup_masks(table.metadata, patient_id=table.patient_id, known=known)


def _small_groups(table: Predictions) -> Iterator[str]:
    shown: dict[str, NDArray[np.bool_]] = {}
    for (by, _), chosen in _groups(table).items():
        shown[by] = shown.get(by, np.zeros(len(table), bool)) | chosen
    for by, chosen in shown.items():
        if not chosen.all():
            left = (~chosen).sum()
            yield f"By {by}, {left} films in groups of fewer than 10 patients are not shown."
