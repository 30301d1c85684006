# SPDX-License-Identifier: Apache-2.0
"""How the model came to be: teacher, training curves, data, hashes, settings, versions, limits."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from monai_kd.report.common import (
    block,
    data_uri,
    judged_on,
    last_part,
    main_section,
    patients_unknown,
    summary_of,
)
from monai_kd.report.rare import OTHER, pooled_counts
from monai_kd.report.run_files import RunFiles

__all__ = ["curves", "data", "hashes", "limits", "settings", "teacher", "versions"]

_DASH = "–"  # noqa: RUF001
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
    findings = list(next(iter(rows.values())).get("positives", {}))
    sites: Counter[str] = Counter()
    for row in rows.values():
        sites.update(row.get("sites") or {})
    told = pooled_counts(sites)
    return {
        "findings": findings,
        "rows": {
            name: {
                **row,
                "patients": None if patients_unknown(run) else row.get("patients"),
                "sites": _pooled(row.get("sites") or {}, told),
                "positives": {finding: _positives(row, finding) for finding in findings},
            }
            for name, row in rows.items()
        },
        "sites": sorted(told, key=lambda site: (site == OTHER, site)),
    }


def _pooled(sites: dict[str, int], told: dict[str, int]) -> dict[str, int]:
    """Films of a section by site; sites of few films in all sections are one."""
    pooled: Counter[str] = Counter()
    for site, films in sites.items():
        pooled[site if site in told else OTHER] += films
    return pooled


def _positives(row: dict[str, Any], finding: str) -> str:
    """How many films have the finding; of how many, where not all labels are known."""
    found, images = row["positives"].get(finding), row.get("images")
    if found is None:
        return _DASH
    if "known" not in row:  # of an older run: no finding anywhere means that nobody has looked
        return str(found) if any(row["positives"].values()) else _DASH
    known = row["known"].get(finding)
    return str(found) if known == images else f"{found} of {known}" if known else _DASH


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
        return last_part(value) or _DASH
    return _DASH if value is None else str(value)


def versions(run: RunFiles, baseline: RunFiles | None) -> dict[str, str] | None:
    """Return the versions of the software.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found = run.config.get("versions")
    return {str(name): str(told) for name, told in found.items()} if found else None


def limits(run: RunFiles, baseline: RunFiles | None) -> list[str]:
    """Return what this run in particular cannot say.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    said = []
    if run.config.get("synthetic"):
        said.append("The films were drawn by a program. Nothing here speaks about patients.")
    said += _files_aside(run)
    unknown = patients_unknown(run)
    if unknown:
        said.append(
            f"The patient of {unknown} films of the datalist is not known: films of one patient "
            "may stand in two sections, and intervals may be too narrow."
        )
    if main_section(run.evaluation) is None:
        return said
    said += [*_too_few(run), *_not_apart(run)]
    if not block(run, "external"):
        said.append("The model was not tried on films of another site in this evaluation.")
    return said


def _too_few(run: RunFiles) -> list[str]:
    summary = summary_of(run)
    said = []
    if 0 < (summary.get("n") or 0) < _FEW_IMAGES:
        said.append(f"The test set is small ({summary['n']} images); see the intervals.")
    few = [
        name
        for name in summary.get("findings", [])
        if min(summary["positives"][name], summary["negatives"][name]) < _FEW_CASES
    ]
    if few:
        said.append(f"Fewer than {_FEW_CASES} cases with or without: {', '.join(few)}.")
    return said


def _not_apart(run: RunFiles) -> list[str]:
    """What the judged films have served for before."""
    found, before = main_section(run.evaluation), judged_on(run)
    if before and found:
        return [f"The numbers are of {before}, section {found[0]}: they flatter the model."]
    if found and found[0] != "test":
        return [f"The numbers are of the section {found[0]}, not of an untouched test set."]
    return []


def _files_aside(run: RunFiles) -> list[str]:
    """Which tables of the folder were not looked at, why, and what to do."""
    by_reason: dict[str, list[str]] = {}
    for name, why in run.foreign.items():
        by_reason.setdefault(why, []).append(name)
    return [
        f"Not looked at: {', '.join(names)}. Each {why}. Run the evaluation again."
        for why, names in by_reason.items()
    ]
