# SPDX-License-Identifier: Apache-2.0
"""How the model came to be: teacher, training curves, data, hashes, settings, versions, limits."""

from __future__ import annotations

import re
from typing import Any

from monai_kd.report.common import block, data_uri, last_part, main_section
from monai_kd.report.run_files import RunFiles

__all__ = ["curves", "data", "hashes", "limits", "settings", "teacher", "versions"]

_FEW_IMAGES, _FEW_CASES = 100, 10
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOLD_ELSEWHERE = {"sha256", "synthetic", "findings", "bundle"}


def teacher(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return whether the teacher answers from the film or from the outline of the region.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found = run.evaluation.get("teacher")
    if not found:
        return None
    accuracy, shuffled = found.get("accuracy"), found.get("shuffled_region_accuracy")
    unchecked = found.get("n") == 0  # no film got the regions of another one
    shuffled = None if unchecked else shuffled
    drop = None if accuracy is None or shuffled is None else accuracy - shuffled
    guess = found.get("most_frequent")
    return {
        "accuracy": accuracy,
        "shuffled": shuffled,
        "drop": drop,
        "unchecked": unchecked,
        "suspect": _suspect(drop),
        "ignorant": None not in (guess, accuracy) and accuracy < guess + 0.05,
    }


def _suspect(drop: float | None) -> bool:
    """Whether regions of other films serve the teacher as well: less than 5 points are lost."""
    return drop is not None and drop < 0.05


def curves(run: RunFiles, baseline: RunFiles | None) -> str | None:
    """Return the training curves.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    return data_uri(run.curves) if run.curves else None


def data(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return how many films, patients and findings each section of the datalist has.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    rows: dict[str, Any] | None = run.config.get("data")
    if not rows:
        return None
    return {
        "findings": list(next(iter(rows.values())).get("positives", {})),
        "rows": rows,
        "sites": sorted({site for row in rows.values() for site in row.get("sites") or {}}),
    }


def hashes(run: RunFiles, baseline: RunFiles | None) -> dict[str, str] | None:
    """Return by what one can tell later that data, weights and predictions are still the same.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    told = {
        "films of the training": run.config.get("sha256"),
        "datalist of the training": run.config.get("datalist_sha256"),
        "datalist of the evaluation": run.evaluation.get("datalist_sha256"),
        "weights that were evaluated": run.evaluation.get("model_sha256"),
        "teacher's weights": (run.evaluation.get("teacher") or {}).get("teacher_sha256"),
        **run.hashes,
    }
    known = {name: str(value) for name, value in told.items() if _SHA256.fullmatch(str(value))}
    return known or None


def settings(run: RunFiles, baseline: RunFiles | None) -> dict[str, str] | None:
    """Return the knobs: plain values of the top level, of a path only the last part.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    knobs = {
        name: _knob(value)
        for name, value in run.config.items()
        if name not in _TOLD_ELSEWHERE and _is_knob(value)
    }
    return knobs or None


def _is_knob(value: Any) -> bool:
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    if isinstance(value, list):
        return len(value) <= 20 and all(not isinstance(entry, dict | list) for entry in value)
    return not isinstance(value, dict)


def _knob(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_knob(entry) for entry in value)
    if isinstance(value, str):
        return last_part(value) or "–"  # noqa: RUF001
    return "–" if value is None else str(value)  # noqa: RUF001


def versions(run: RunFiles, baseline: RunFiles | None) -> dict[str, str] | None:
    """Return the versions of the software.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found: dict[str, str] | None = run.config.get("versions")
    return found or None


def limits(run: RunFiles, baseline: RunFiles | None) -> list[str]:
    """Return what this run in particular cannot say.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found = main_section(run.evaluation)
    said = []
    if run.config.get("synthetic"):
        said.append("The films were drawn by a program. Nothing here speaks about patients.")
    if found is None:
        return said
    section, summary = found
    if 0 < (summary.get("n") or 0) < _FEW_IMAGES:
        said.append(f"The test set is small ({summary['n']} images); see the intervals.")
    few = [
        name
        for name in summary.get("findings", [])
        if min(summary["positives"][name], summary["negatives"][name]) < _FEW_CASES
    ]
    if few:
        said.append(f"Fewer than {_FEW_CASES} cases with or without: {', '.join(few)}.")
    if section != "test":
        said.append(f"The numbers are of the section {section}, not of an untouched test set.")
    if not block(run, "external"):
        said.append("The model was not tried on films of another site in this evaluation.")
    return said
