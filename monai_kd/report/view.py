# SPDX-License-Identifier: Apache-2.0
"""What the page says, section by section, from what the run directory holds.

Each function returns plain values for the template, or None where the files do not say.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import numpy as np

from monai_kd.explain import HEAT_COLORS
from monai_kd.metrics import Interval, auroc_difference
from monai_kd.report.plots import confusion_png, roc_png
from monai_kd.report.run_files import Predictions, RunFiles

__all__ = ["SECTIONS", "baseline_summary", "data_uri", "main_section"]

_METHODS = {
    "hkd": "Human knowledge distillation",
    "baseline": "Baseline: image labels alone",
    "soft_target": "Soft-target distillation",
    "self_distillation": "Self-distillation without regions",
}
_FEW_IMAGES, _FEW_CASES = 100, 10
_MOST_FILMS = 8


def data_uri(picture: bytes) -> str:
    """Return a picture as it stands in the page.

    Args:
        picture: bytes of a PNG or JPEG.
    """
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def main_section(evaluation: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the section that the page leads with, and its summary: the one last evaluated.

    ``predictions.csv`` is of that section, so the curves and the numbers are of the same films.

    Args:
        evaluation: content of ``evaluation.json``.
    """
    sections = {name: value for name, value in evaluation.get("sections", {}).items() if value}
    for name in (evaluation.get("predictions_of"), "test", *sections):
        if name in sections:
            return name, sections[name]
    return None


def baseline_summary(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any]:
    """Return the baseline's summary of the main section, from its own run or from this one's file.

    Args:
        run: the run that the page is about.
        baseline: the run that it is compared with, or None.
    """
    found = main_section(run.evaluation)
    evaluation = baseline.evaluation if baseline else run.evaluation.get("baseline", {})
    sections: dict[str, Any] = evaluation.get("sections", {})
    return sections.get(found[0]) or {} if found else {}


def _headline(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    found = main_section(run.evaluation)
    if found is None:
        return None
    section, summary = found
    other = baseline_summary(run, baseline)
    low = min([0.5, *(summary.get("macro_auroc_ci") or [0.5])])
    return {
        "section": section,
        "activation": summary.get("activation"),
        "auroc": summary.get("macro_auroc"),
        "ci": summary.get("macro_auroc_ci"),
        "findings": len(summary.get("findings", [])),
        "n": summary.get("n"),
        "patients": summary.get("patients"),
        "tiles": {
            "accuracy": summary.get("accuracy"),
            "balanced accuracy": summary.get("balanced_accuracy"),
            "macro F1": summary.get("macro_f1"),
            "cross-entropy": summary.get("cross_entropy"),
        },
        "baseline": other,
        "difference": _difference(run, baseline),
        "scale_from": math.floor(low * 10 - 1e-9) / 10 if low < 0.5 else 0.5,
    }


def _difference(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Paired on the images that both runs have predicted."""
    if baseline is None or run.predictions is None or baseline.predictions is None:
        return None
    ours, theirs = run.predictions, baseline.predictions
    row = {key: number for number, key in enumerate(theirs.key)}
    if ours.findings != theirs.findings or set(ours.key) != set(row):
        return None
    order = [row[key] for key in ours.key]
    difference = auroc_difference(
        ours.prob, theirs.prob[order], ours.label, patient_id=ours.patient_id
    )
    if math.isnan(difference.low):
        return None
    return {"interval": difference, "verdict": _verdict(difference)}


def _verdict(difference: Interval) -> str:
    if difference.low > 0:
        return "a gain is shown"
    return "a loss is shown" if difference.high < 0 else "a gain is not shown"


def _findings(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    found = main_section(run.evaluation)
    if found is None:
        return None
    summary, other = found[1], baseline_summary(run, baseline)
    limits = [ci[0] for ci in summary["auroc_ci"].values() if ci]
    rows = [
        {
            "name": name,
            "auroc": summary["auroc"].get(name),
            "ci": summary["auroc_ci"].get(name),
            "baseline": other.get("auroc", {}).get(name),
            "positives": summary["positives"].get(name),
            "negatives": summary["negatives"].get(name),
            **_rates(summary, name),
        }
        for name in summary["findings"]
    ]
    scale_from = min(0.5, math.floor(min([0.5, *limits]) * 10 + 1e-9) / 10)
    return {"rows": rows, "scale_from": scale_from, "with_baseline": bool(other)}


def _rates(summary: dict[str, Any], name: str) -> dict[str, float | None]:
    """Sensitivity and specificity of the decision: argmax, or 0.5."""
    matrix = np.asarray(
        summary["confusion_matrix"][name]
        if summary["activation"] == "sigmoid"
        else summary["confusion_matrix"]
    )
    here = 1 if summary["activation"] == "sigmoid" else summary["findings"].index(name)
    positives, hits = matrix[here].sum(), matrix[here, here]
    negatives = matrix.sum() - positives
    alarms = matrix[:, here].sum() - hits
    return {
        "sensitivity": float(hits / positives) if positives else None,
        "specificity": float(1 - alarms / negatives) if negatives else None,
    }


def _roc(run: RunFiles, baseline: RunFiles | None) -> str | None:
    table: Predictions | None = run.predictions
    if table is None:
        return None
    return data_uri(roc_png(table.prob, table.label, findings=table.findings))


def _confusion(run: RunFiles, baseline: RunFiles | None) -> str | None:
    found = main_section(run.evaluation)
    if found is None or not found[1].get("confusion_matrix"):
        return None
    summary = found[1]
    return data_uri(confusion_png(summary["confusion_matrix"], findings=summary["findings"]))


def _regions(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """The shares by model, and films as this run and the baseline see them, side by side."""
    found = main_section(run.evaluation)
    ours = found[1].get("decision_regions") if found else None
    theirs = baseline_summary(run, baseline).get("decision_regions")
    picture = run.pictures.get("decision_regions")
    pairs = [] if picture else _pairs(run.pictures, baseline.pictures if baseline else {})
    if not ours and not picture and not pairs:
        return None
    models = {"baseline": theirs, str(run.config.get("method") or "this run"): ours}
    return {
        "models": {name: model for name, model in models.items() if model},
        "area": (ours or {}).get("region_share"),
        "picture": data_uri(picture) if picture else None,
        "pairs": pairs,
        "gradient": ", ".join(_css(color) for color in HEAT_COLORS),
    }


def _pairs(ours: dict[str, bytes], theirs: dict[str, bytes]) -> list[dict[str, str | None]]:
    """Pictures of the films that both have drawn; without a baseline, of all films."""
    shared = [name for name in ours if not theirs or name in theirs][:_MOST_FILMS]
    return [
        {
            "ours": data_uri(ours[name]),
            "theirs": data_uri(theirs[name]) if name in theirs else None,
        }
        for name in shared
    ]


def _css(color: tuple[float, float, float]) -> str:
    return "rgb({}, {}, {})".format(*(round(255 * part) for part in color))


def _teacher(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    block = run.evaluation.get("teacher")
    if not block:
        return None
    accuracy, shuffled = block.get("accuracy"), block.get("shuffled_region_accuracy")
    unchecked = block.get("n") == 0  # no film got the regions of another one
    shuffled = None if unchecked else shuffled
    drop = None if accuracy is None or shuffled is None else accuracy - shuffled
    guess = block.get("most_frequent")
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


def _curves(run: RunFiles, baseline: RunFiles | None) -> str | None:
    return data_uri(run.curves) if run.curves else None


def _data(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    rows: dict[str, Any] | None = run.config.get("data")
    if not rows:
        return None
    return {
        "findings": list(next(iter(rows.values())).get("positives", {})),
        "rows": rows,
        "with_sites": any(row.get("sites") for row in rows.values()),
        "sha256": run.config.get("sha256"),
    }


def _settings(run: RunFiles, baseline: RunFiles | None) -> dict[str, str] | None:
    """The knobs: plain values of the top level; of a path only the last part, it may hold names."""
    knobs = {
        name: _knob(value)
        for name, value in run.config.items()
        if name not in {"sha256", "synthetic"} and _is_knob(value)
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
    if isinstance(value, str) and ("/" in value or "\\" in value):
        return "… / " + PurePath(value.replace("\\", "/")).name
    return "–" if value in (None, "") else str(value)  # noqa: RUF001


def _versions(run: RunFiles, baseline: RunFiles | None) -> dict[str, str] | None:
    versions: dict[str, str] | None = run.config.get("versions")
    return versions or None


def _limits(run: RunFiles, baseline: RunFiles | None) -> list[str]:
    """What this run in particular cannot say."""
    found = main_section(run.evaluation)
    summary = found[1] if found else {}
    limits = []
    if run.config.get("synthetic"):
        limits.append("The films were drawn by a program. Nothing here speaks about patients.")
    if 0 < (summary.get("n") or 0) < _FEW_IMAGES:
        limits.append(f"The test set is small ({summary['n']} images); see the intervals.")
    few = [
        name
        for name in summary.get("findings", [])
        if min(summary["positives"][name], summary["negatives"][name]) < _FEW_CASES
    ]
    if few:
        limits.append(f"Fewer than {_FEW_CASES} cases with or without: {', '.join(few)}.")
    if found and found[0] != "test":
        limits.append(f"The numbers are of the section {found[0]}, not of an untouched test set.")
    return limits


def _title(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any]:
    method = str(run.config.get("method") or "")
    return {
        "method": _METHODS.get(method, method or "Training run"),
        "short": method,
        "backbone": run.config.get("backbone"),
        "size": run.config.get("spatial_size"),
    }


SECTIONS: dict[str, Callable[[RunFiles, RunFiles | None], Any]] = {
    "title": _title,
    "headline": _headline,
    "findings": _findings,
    "roc": _roc,
    "confusion": _confusion,
    "regions": _regions,
    "teacher": _teacher,
    "curves": _curves,
    "data": _data,
    "settings": _settings,
    "versions": _versions,
    "limits": _limits,
}
"""What each section of the page is made by; all take the run and the baseline's run or None."""
