# SPDX-License-Identifier: Apache-2.0
"""The FROC score of two runs that both wrote ``candidates.csv`` and ``lesions.csv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.metrics import (
    FALSE_POSITIVE,
    REPEATED_HIT,
    Candidates,
    froc_curve,
    froc_difference,
    recall_at,
)
from monai_kd.report.gains import Gain
from monai_kd.utils import MonaiKDError

__all__ = ["has_localization", "localized_gains", "run_candidates"]

_BOX = ("x_min", "y_min", "x_max", "y_max")
_COLUMNS = {
    "candidates.csv": ("id", "finding", "score", *_BOX, "lesion"),
    "lesions.csv": ("id", "finding", "lesions"),
}
_Rows = list[dict[str, str]]


def has_localization(folder: Path, *, name: str) -> bool:
    """Return whether a run has candidates and lesions, both of them.

    Args:
        folder: the run directory.
        name: what the user calls it, such as ``"A"``; begins the message.

    Raises:
        MonaiKDError: if it has only one of the two tables.
    """
    there = [table for table in _COLUMNS if (folder / table).is_file()]
    if len(there) == 1:
        raise MonaiKDError(
            f"{name}: candidates.csv and lesions.csv must both be there or none, got only "
            f"{there[0]}. Evaluate the run again."
        )
    return bool(there)


def localized_gains(ours: Path, theirs: Path) -> list[Gain]:
    """Return the difference of the FROC scores by finding.

    Args:
        ours: run directory of the model that may be better; it :func:`has_localization`.
        theirs: run directory of the model it is compared with; this, too.

    Raises:
        MonaiKDError: if a table is not what it should be, or the lesions differ.
    """
    candidates, lesions = (
        [_by_finding(_table(folder / name)) for folder in (ours, theirs)] for name in _COLUMNS
    )
    gains = []
    for finding in (name for name in lesions[0] if name in lesions[1]):
        films = _films(lesions[0][finding], lesions[1][finding])
        one, other = (_candidates(found.get(finding, []), films) for found in candidates)
        if one.lesions.sum():
            mine, their = (float(np.mean(recall_at(froc_curve(each)))) for each in (one, other))
            found = froc_difference(one, other)
            gains.append(Gain("froc_score", "finding", finding, len(films), mine, their, found))
    return gains


def run_candidates(folder: Path) -> dict[str, Candidates]:
    """Return the candidates of one run by finding, matched to the lesions.

    Args:
        folder: the run directory; it :func:`has_localization`.

    Raises:
        MonaiKDError: if a table is not what it should be.
    """
    candidates, lesions = (_by_finding(_table(folder / name)) for name in _COLUMNS)
    return {
        finding: _candidates(candidates.get(finding, []), _films(rows, rows))
        for finding, rows in lesions.items()
    }


def _table(path: Path) -> _Rows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="")
            names, rows = list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error):
        raise _bad(path.name, "something that is no text") from None
    missing = [name for name in _COLUMNS[path.name] if name not in names]
    if missing:
        raise _bad(path.name, f"none of the name {missing[0]}")
    return rows


def _bad(table: str, got: str) -> MonaiKDError:
    columns = ", ".join(_COLUMNS[table])
    return MonaiKDError(
        f"compare: {table} must hold the columns {columns}, got {got}. Evaluate the run again."
    )


def _by_finding(rows: _Rows) -> dict[str, _Rows]:
    found: dict[str, _Rows] = {}
    for row in rows:
        found.setdefault(row["finding"], []).append(row)
    return found


def _films(ours: _Rows, theirs: _Rows) -> dict[str, tuple[int, str]]:
    """Number of lesions and patient of the films that both runs have scored, by id.

    A patient of "" is not known; that film counts as one of a patient of its own.
    """
    other = {row["id"]: row["lesions"] for row in theirs}
    shared = [row for row in ours if row["id"] in other]
    differing = sum(other[row["id"]] != row["lesions"] for row in shared)
    if differing or 2 * len(shared) < max(len(ours), len(theirs)):
        raise MonaiKDError(
            f"compare: both runs must be judged by the same drawn lesions, got {len(shared)} films "
            f"in common, {differing} of them with another number. Evaluate both on one datalist."
        )
    if not all(row["lesions"].isdecimal() for row in shared):
        raise _bad("lesions.csv", "a number of lesions that is none")
    return {row["id"]: (int(row["lesions"]), row.get("patient_id") or "") for row in shared}


def _candidates(rows: _Rows, films: Mapping[str, tuple[int, str]]) -> Candidates:
    number = {film: index for index, film in enumerate(films)}
    rows = [row for row in rows if row["id"] in number]
    try:
        return Candidates(
            image=_array([number[row["id"]] for row in rows], np.int64),
            score=_array([row["score"] for row in rows], np.float64),
            box=_array([[row[side] for side in _BOX] for row in rows], np.float64).reshape(-1, 4),
            lesion=_array([_lesion(row["lesion"]) for row in rows], np.int64),
            lesions=_array([count for count, _ in films.values()], np.int64),
            patient_id=[patient for _, patient in films.values()],
        )
    except (KeyError, ValueError):
        raise _bad("candidates.csv", "a value that is none of these") from None


def _lesion(text: str) -> int:
    return {"": FALSE_POSITIVE, "repeat": REPEATED_HIT}[text] if not text.isdigit() else int(text)


def _array(values: Sequence[Any], dtype: Any) -> Any:
    return np.array(values, dtype)
