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

__all__ = ["localized_gains"]

_BOX = ("x_min", "y_min", "x_max", "y_max")
_Rows = list[dict[str, str]]


def localized_gains(ours: Path, theirs: Path) -> list[Gain]:
    """Return the difference of the FROC scores by finding; nothing when a run has no candidates.

    Args:
        ours: run directory of the model that may be better.
        theirs: run directory of the model it is compared with.

    Raises:
        MonaiKDError: if a table is not what it should be, or the lesions differ.
    """
    tables = [
        {name: _table(folder / f"{name}.csv") for name in ("candidates", "lesions")}
        for folder in (ours, theirs)
    ]
    if not all(table["lesions"] for table in tables):
        return []
    lesions = [_by_finding(table["lesions"]) for table in tables]
    candidates = [_by_finding(table["candidates"]) for table in tables]
    gains = []
    for finding in (name for name in lesions[0] if name in lesions[1]):
        films = _films(lesions[0][finding], lesions[1][finding])
        one, other = (_candidates(found.get(finding, []), films) for found in candidates)
        if one.lesions.sum():
            mine, their = (float(np.mean(recall_at(froc_curve(each)))) for each in (one, other))
            found = froc_difference(one, other)
            gains.append(Gain("froc_score", "finding", finding, len(films), mine, their, found))
    return gains


def _table(path: Path) -> _Rows:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, restval=""))


def _by_finding(rows: _Rows) -> dict[str, _Rows]:
    found: dict[str, _Rows] = {}
    for row in rows:
        found.setdefault(row.get("finding", ""), []).append(row)
    return found


def _films(ours: _Rows, theirs: _Rows) -> dict[str, tuple[int, str]]:
    """Number of lesions and patient of the films that both runs have scored, by id."""
    other = {row["id"]: row["lesions"] for row in theirs}
    shared = [row for row in ours if row["id"] in other]
    differing = sum(other[row["id"]] != row["lesions"] for row in shared)
    if differing or 2 * len(shared) < max(len(ours), len(theirs)):
        raise MonaiKDError(
            f"compare: both runs must be judged by the same drawn lesions, got {len(shared)} films "
            f"in common, {differing} of them with another number. Evaluate both on one datalist."
        )
    return {row["id"]: (int(row["lesions"]), row.get("patient_id") or row["id"]) for row in shared}


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
        raise MonaiKDError(
            "compare: candidates.csv must hold id, score, box and lesion of each candidate, got "
            "something else. Evaluate the run again."
        ) from None


def _lesion(text: str) -> int:
    return {"": FALSE_POSITIVE, "repeat": REPEATED_HIT}[text] if not text.isdigit() else int(text)


def _array(values: Sequence[Any], dtype: Any) -> Any:
    return np.array(values, dtype)
