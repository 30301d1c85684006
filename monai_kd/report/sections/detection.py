# SPDX-License-Identifier: Apache-2.0
"""A detector set to work: what its dotted and solid boxes find, and films with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_kd.metrics import FALSE_POSITIVE, Candidates, proportion_interval
from monai_kd.report.common import data_uri, is_number, judged_on, main_section
from monai_kd.report.localized import run_candidates
from monai_kd.report.run_files import RunFiles
from monai_kd.utils import read_json

__all__ = ["box_points", "boxes"]

_LINES = ("dotted", "solid")
_SIX_DIGITS = 1e-5  # scores are written with six: one that equals its threshold may lie below it
_TABLES = ("candidates.csv", "lesions.csv")


def box_points(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return what both thresholds promised on validation, and what they keep on these films.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    chosen = _points_used(run).get("findings") or {}
    evaluated = main_section(run.evaluation)
    if not chosen:
        return None
    there = all((run.folder / name).is_file() and name not in run.foreign for name in _TABLES)
    found = run_candidates(run.folder) if there and evaluated else {}
    rows = [
        {"finding": name, "line": line, **_row(point[line], found.get(name))}
        for name, point in chosen.items()
        for line in _LINES
    ]
    return {
        "rows": rows,
        "section": evaluated[0] if evaluated else None,
        "judged": bool(found),
        "chosen_on_judged": judged_on(run) == "films that chose the epoch",
    }


def _points_used(run: RunFiles) -> dict[str, Any]:
    """The points of the evaluation; else the folder's, if they are of the model it is about."""
    used = run.evaluation.get("operating_points")
    if isinstance(used, dict):
        return used
    model, here = run.evaluation.get("model_sha256"), run.hashes.get("model.pt")
    if run.evaluation.get("settings") or (model and here and model != here):
        return {}  # the model was trained elsewhere, or trained again since
    return read_json(run.folder / "operating_points.json") or {}


def _row(point: dict[str, Any], candidates: Candidates | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "threshold": point.get("threshold"),
        "promised_fp": point.get("fp_per_image"),
        "promised": point.get("recall"),
    }
    if candidates is None or not is_number(row["threshold"]):
        return row
    shown = candidates.score >= row["threshold"] * (1 - _SIX_DIGITS)
    hit = candidates.image[shown & (candidates.lesion >= 0)]
    found = np.bincount(hit, minlength=candidates.images)
    share = proportion_interval(found, candidates.lesions, group=candidates.patient_id)
    return row | {
        "recall": share.estimate,
        "recall_ci": [share.low, share.high] if is_number(share.low) else None,
        "found": int(found.sum()),
        "lesions": int(candidates.lesions.sum()),
        "images": candidates.images,
        "fp": float((shown & (candidates.lesion == FALSE_POSITIVE)).sum() / candidates.images),
    }


def boxes(run: RunFiles, baseline: RunFiles | None) -> list[str] | None:
    """Return the first films on which an expert or the detector drew a box, with these boxes.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    return [data_uri(picture) for picture in run.boxes.values()] or None
