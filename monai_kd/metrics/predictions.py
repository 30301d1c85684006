# SPDX-License-Identifier: Apache-2.0
"""``predictions.csv`` read back: salted ids, labels, probabilities, and what is known of each film.

Two models are compared on the same films, so two tables are brought into one order here.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.utils import MonaiKDError

__all__ = ["METADATA", "Predictions", "match_predictions", "read_predictions"]

METADATA = ("sex", "age", "view", "site")
"""Columns of ``predictions.csv`` that subgroups are made of."""


@dataclass(frozen=True)
class Predictions:
    """What a model said of the films of one section.

    Args:
        findings: names of the C findings.
        key: salted id of each film, or its row number when there is none.
        patient_id: salted id of each patient, a blank made one of its own; None if all are blank.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        prob: ``(N, C)``, in [0, 1].
        metadata: columns of :data:`METADATA` that the table has, N texts each, "" for unknown.
    """

    findings: list[str]
    key: list[str]
    patient_id: list[str] | None
    label: NDArray[np.float64]
    prob: NDArray[np.float64]
    metadata: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key)

    def rows(self, chosen: Sequence[int] | NDArray[Any]) -> Predictions:
        """Return some of the films.

        Args:
            chosen: numbers of the rows, or one bool per row.
        """
        index = np.arange(len(self))[np.asarray(chosen)]
        patient = self.patient_id
        return Predictions(
            findings=self.findings,
            key=[self.key[i] for i in index],
            patient_id=None if patient is None else [patient[i] for i in index],
            label=self.label[index],
            prob=self.prob[index],
            metadata={name: [column[i] for i in index] for name, column in self.metadata.items()},
        )


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read ``predictions.csv``; films that could not be read (no probability) are left out.

    Args:
        path: the table, as :class:`monai_kd.handlers.PredictionsCSV` writes it.

    Raises:
        MonaiKDError: if there is no such file or no film in it, columns are missing, an id stands
            twice, or a value is not a probability or a label.
    """
    names, rows = _table(Path(path))
    findings = [name.removeprefix("prob_") for name in names if name.startswith("prob_")]
    missing = [f"label_{name}" for name in findings if f"label_{name}" not in names]
    if not findings or missing:
        raise _error(
            "must have `label_` and `prob_` of each finding",
            f"{len(findings)} findings with `prob_` and {len(missing)} without `label_`",
        )
    rows = [row for row in rows if any(row[f"prob_{name}"] for name in findings)]
    if not rows:
        raise _error("must hold at least one film with a probability", "none")
    label = _numbers(rows, [f"label_{name}" for name in findings])
    prob = _numbers(rows, [f"prob_{name}" for name in findings])
    _check_values(label, prob)
    key = [row.get("id") or str(number) for number, row in enumerate(rows)]
    if len(set(key)) < len(key):
        raise _error("must have each `id` once", f"{len(key) - len(set(key))} that stand twice")
    return Predictions(
        findings=findings,
        key=key,
        patient_id=_patients(rows, key) if "patient_id" in names else None,
        label=label,
        prob=prob,
        metadata={name: [row[name] or "" for row in rows] for name in METADATA if name in names},
    )


def match_predictions(ours: Predictions, theirs: Predictions) -> tuple[Predictions, Predictions]:
    """Return both tables with the films that both hold, in the order of the first.

    Args:
        ours: predictions of the one model.
        theirs: predictions of the other.

    Raises:
        MonaiKDError: if the findings differ, no film is in both, less than half of the larger
            table is, or a film has another label in the one than in the other.
    """
    if ours.findings != theirs.findings:
        raise MonaiKDError(
            f"match_predictions: both models must have the same findings, got {ours.findings} and "
            f"{theirs.findings}. Compare runs that were trained on one datalist."
        )
    row = {key: number for number, key in enumerate(theirs.key)}
    shared = [number for number, key in enumerate(ours.key) if key in row]
    if 2 * len(shared) < max(len(ours), len(theirs)) or not shared:
        raise MonaiKDError(
            f"match_predictions: both models must have predicted the same films, got {len(shared)} "
            f"in common of {len(ours)} and {len(theirs)}. Evaluate both on the same section of the "
            "same datalist."
        )
    one, other = ours.rows(shared), theirs.rows([row[ours.key[number]] for number in shared])
    if not np.array_equal(one.label, other.label, equal_nan=True):
        differing = int((~_same(one.label, other.label)).any(axis=1).sum())
        raise MonaiKDError(
            f"match_predictions: both models must be judged by the same labels, got {differing} "
            "films with different ones. Evaluate both on the same datalist."
        )
    return one, other


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.is_file():
        raise _error("must be a file", "a path where none is")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="")
            return list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error):
        raise _error("must be a table of text", "something else") from None


def _numbers(rows: list[dict[str, str]], columns: list[str]) -> NDArray[np.float64]:
    try:
        return np.array([[_number(row[name]) for name in columns] for row in rows])
    except ValueError:
        raise _error("must hold numbers in `label_` and `prob_`", "a text") from None


def _patients(rows: list[dict[str, str]], key: list[str]) -> list[str] | None:
    """Patient of each film; one whose patient is not known is a patient of its own."""
    names = [row["patient_id"].strip() for row in rows]
    if not any(names):
        return None
    return [name or f"film {own}" for name, own in zip(names, key, strict=True)]


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _check_values(label: NDArray[np.float64], prob: NDArray[np.float64]) -> None:
    bad = int((~((prob >= 0) & (prob <= 1))).any(axis=1).sum())
    if bad:
        raise _error(
            "must hold probabilities in [0, 1]",
            f"{bad} films with others or NaN; a NaN means that the training has diverged",
        )
    if not (np.isnan(label) | (label == 0) | (label == 1)).all():
        raise _error("must hold labels that are 0, 1 or empty", "others")


def _same(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))


def _error(expected: str, got: str) -> MonaiKDError:
    return MonaiKDError(
        f"read_predictions: `path` {expected}, got {got}. Give it the predictions.csv of an "
        "evaluated run."
    )
