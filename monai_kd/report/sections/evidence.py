# SPDX-License-Identifier: Apache-2.0
"""Operating points, calibration, subgroups: do the numbers serve at work, and everyone?"""

from __future__ import annotations

from typing import Any

from monai_kd.report.caveats import ECE_NOTE, shared_note
from monai_kd.report.common import (
    block,
    data_uri,
    limits_or_none,
    patients_unknown,
    scale_start,
    summary_of,
    turned,
)
from monai_kd.report.curve_plots import reliability_png
from monai_kd.report.plot_style import page_width
from monai_kd.report.run_files import RunFiles

__all__ = ["calibration", "operating_points", "subgroups"]

_MOST_SENTENCES = 6
_GOALS = {"youden": "Youden index"}
_GROUPED_BY = {"sex": "Sex", "age": "Age in years", "view": "View", "site": "Site"}


def operating_points(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return the rows of thresholds that were chosen on validation, and the first ones in words.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    rows = block(run, "operating_points")
    if not rows:
        return None
    rows = [{**row, "goal": _GOALS.get(row["goal"], row["goal"])} for row in rows]
    first = {row["finding"]: row for row in reversed(rows)}
    told = [row for row in rows if first[row["finding"]] is row]
    sentences = [(row, _in_a_hundred(row)) for row in told] if len(told) <= _MOST_SENTENCES else []
    return {
        "rows": [{**row, "counts": _counts(row)} for row in rows],
        "sentences": [{**row, **said} for row, said in sentences if said],
        "shared": shared_note(run),
        "stated": any(row.get("prevalence") is not None for row in rows),
    }


def _counts(row: dict[str, Any]) -> dict[str, str]:
    """By rate, how many films it was counted on."""
    tp, fp, tn, fn = (row.get(name) for name in ("tp", "fp", "tn", "fn"))
    if tp is None or fp is None or tn is None or fn is None:
        return {}
    shares = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
    return {name: f"{hits} of {films}" for name, (hits, films) in shares.items()}


def _in_a_hundred(row: dict[str, Any]) -> dict[str, Any] | None:
    """Natural frequencies: what a hundred films with, and a hundred without, would get."""
    sensitivity, specificity = row.get("sensitivity"), row.get("specificity")
    if sensitivity is None or specificity is None:
        return None
    return {
        "found": round(100 * sensitivity),
        "found_ci": _hundred(limits_or_none(row.get("sensitivity_ci"))),
        "alarms": round(100 * (1 - specificity)),
        "alarms_ci": _hundred(turned(row.get("specificity_ci"), around=1)),
    }


def _hundred(limits: list[float] | None) -> list[int] | None:
    return [round(100 * limit) for limit in limits] if limits else None


def calibration(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return the calibration errors, before and after temperature scaling, and their plot.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found = block(run, "calibration")
    if not found:
        return None
    curves = found.get("reliability") or {}
    plot = reliability_png(curves) if curves else None
    temperature = found.get("temperature")
    return {
        **found,
        "plot": data_uri(plot) if plot else None,
        "plot_width": page_width(plot) if plot else None,
        "confidence": _confidence(temperature),
        "shared": shared_note(run) if temperature is not None else "",
        "ece_note": ECE_NOTE,
        "helps": (found.get("ece_scaled") or 0.0) < (found.get("ece") or 0.0),
    }


def _confidence(temperature: float | None) -> str | None:
    """What the temperature says: above 1, probabilities have to be softened."""
    if temperature is None:
        return None
    if temperature > 1.05:
        return "the model is surer than it should be"
    return "the model is less sure than it could be" if temperature < 0.95 else "about right"


def subgroups(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return the rows by what the groups are made of, and where their axis begins.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    rows = block(run, "subgroups")
    if not rows:
        return None
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_GROUPED_BY.get(row["by"], str(row["by"])), []).append(row)
    return {
        "groups": groups,
        "left_out": {by: _left_out(run, rows) for by, rows in groups.items()},
        "patients_known": not patients_unknown(run),
        "overall": block(run, "macro_auroc"),
        "scale_from": scale_start([row.get("macro_auroc_ci") for row in rows]),
    }


def _left_out(run: RunFiles, rows: list[dict[str, Any]]) -> int:
    """How many films are in no group of a column."""
    films = summary_of(run).get("n") or 0
    return max(films - sum(row.get("n") or 0 for row in rows), 0)
