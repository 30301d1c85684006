# SPDX-License-Identifier: Apache-2.0
"""The top of the page: what was trained, how good it is, against a baseline and against home."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from monai_kd.metrics import auroc_difference, json_number, match_predictions
from monai_kd.report.common import (
    baseline_summary,
    block,
    is_detector,
    is_number,
    judged_on,
    limits_or_none,
    main_section,
    map_limit,
    method_name,
    patients_unknown,
    scale_start,
    turned,
)
from monai_kd.report.run_files import RunFiles

__all__ = ["external", "headline", "title"]

_TILES = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "macro F1": "macro_f1",
    "macro AUPRC": "macro_auprc",
}


def title(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any]:
    """Return what the run is called.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    return {
        "method": method_name(run, "Training run"),
        "short": str(run.config.get("method") or ""),
        "detector": is_detector(run),
        "map_limit": map_limit(run),
        "backbone": run.config.get("backbone"),
        "size": run.config.get("spatial_size"),
        "synthetic": bool(run.config.get("synthetic")),
    }


def headline(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return the AUROC with its interval, the other scores, and the baseline's.

    Args:
        run: the run that the page is about.
        baseline: the run that it is compared with, or None.
    """
    found = main_section(run.evaluation)
    if found is None:
        return None
    section, summary = found
    other = baseline_summary(run, baseline)
    limits = summary.get("macro_auroc_ci")
    tiles = [
        {"name": name, "value": summary.get(key), "ci": summary.get(f"{key}_ci")}
        for name, key in _TILES.items()
    ]
    return {
        "section": section,
        "activation": summary.get("activation"),
        "auroc": summary.get("macro_auroc"),
        "ci": limits_or_none(limits),
        "judged_on": judged_on(run),
        "findings": len(summary.get("findings", [])),
        "n": summary.get("n"),
        "unreadable": summary.get("unreadable"),
        "patients": None if patients_unknown(run) else summary.get("patients"),
        "tiles": [tile for tile in _froc(run) + tiles if tile["value"] is not None],
        "baseline": other,
        "difference": _difference(run, baseline),
        "scale_from": scale_start([limits, other.get("macro_auroc_ci")]),
    }


def _froc(run: RunFiles) -> list[dict[str, Any]]:
    """Of a detector how well it finds lesions: of one finding with its interval, else the mean."""
    found = (block(run, "localization") or {}) if is_detector(run) else {}
    scores = [one["froc_score"] for one in found.values() if is_number(one.get("froc_score"))]
    if not scores:
        return []
    limits = next(iter(found.values())).get("froc_score_ci") if len(found) == 1 else None
    name = "FROC score" if len(scores) == 1 else "mean FROC score"
    return [{"name": name, "value": sum(scores) / len(scores), "ci": limits_or_none(limits)}]


def external(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return what another site's films cost, where this evaluation is of such films.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found: dict[str, Any] | None = block(run, "external")
    if found is None:
        return None
    drop, limits = found.get("drop"), limits_or_none(found.get("drop_ci"))
    return {
        **found,
        "change": None if drop is None else -drop,
        "change_ci": turned(limits),
        "shown": _drop_in_words(limits) if limits else None,
        "findings": _by_finding(found.get("per_finding") or {}),
        "alarming": bool(found.get("hints") or (limits and limits[0] > 0)),
    }


def _by_finding(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            **row,
            "change": -row["drop"],
            "change_ci": turned(row.get("drop_ci")),
        }
        for name, row in found.items()
        if row.get("drop") is not None
    ]


def _drop_in_words(limits: Sequence[float]) -> str:
    if limits[0] > 0:
        return "the model does worse here than at home"
    return "the model does better here than at home" if limits[1] < 0 else "a drop is not shown"


def _difference(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Paired, so only where the predictions of both runs are at hand."""
    if baseline is None or run.predictions is None or baseline.predictions is None:
        return None
    ours, theirs = match_predictions(run.predictions, baseline.predictions)
    found = auroc_difference(ours.prob, theirs.prob, ours.label, patient_id=ours.patient_id)
    if math.isnan(found.low):
        return None
    words = {"gain shown": "a gain is shown", "loss shown": "a loss is shown"}
    return {
        "interval": found,
        "p_value": json_number(found.p_value),
        "verdict": words.get(found.verdict, "a gain is not shown"),
    }
