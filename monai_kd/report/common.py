# SPDX-License-Identifier: Apache-2.0
"""What every section needs: the evaluated section, the baseline's, a picture as text, words."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, TypeGuard

from monai_kd.report.chosen_section import main_section
from monai_kd.report.run_files import RunFiles

__all__ = [
    "METHODS",
    "baseline_summary",
    "block",
    "chosen_on_judged",
    "data_uri",
    "is_detector",
    "is_interval",
    "is_number",
    "judged_on",
    "last_part",
    "limits_or_none",
    "main_section",
    "map_limit",
    "map_name",
    "method_name",
    "patients_unknown",
    "scale_start",
    "summary_of",
    "turned",
]

METHODS = {
    "hkd": "Human knowledge distillation",
    "baseline": "Baseline: image labels alone",
    "soft_target": "Soft-target distillation",
    "self_distillation": "Self-distillation without regions",
    "distl": "DISTL: self-evolving distillation",
    "supervised": "Supervised on the labeled films",
    "supervised_all": "Supervised on all films (upper bound)",
    "self_supervised": "Self-supervision without self-training",
    "self_training": "Self-training without self-supervision",
    "fixmatch": "FixMatch-style",
    "mean_teacher": "Mean Teacher",
    "aals": "AALS: adaptive asymmetric label sharpening",
    "symmetric": "Label sharpening that also lowers (symmetric)",
    "constant": "Label sharpening of constant strength",
    "hard": "Hard pseudo labels",
}
"""What a reader calls the methods."""

_OF_DETECTORS = {
    "mean_teacher": "Mean Teacher: maps of the teacher as they are",
    "supervised": "Supervised on drawn films and films without the finding",
}

_MAPS = {
    "grad_cam++": "Grad-CAM++",
    "rollout": "attention rollout",
    "relevance": "gradient-weighted attention",
    "map": "the detector's own",
}


def map_name(method: Any) -> str:
    """Return what a reader calls a kind of heat map; Grad-CAM where the run does not say.

    Args:
        method: as in :func:`monai_kd.explain.explain`, or None.
    """
    return _MAPS.get(str(method), "Grad-CAM")


def is_detector(run: RunFiles) -> bool:
    """Return whether the network answers with maps of its own, from which its scores are read.

    Args:
        run: the run that the page is about.
    """
    if str(run.config.get("bundle") or "").endswith("_detection"):
        return True
    found = block(run, "decision_regions")
    return isinstance(found, dict) and found.get("method") == "map"


def method_name(run: RunFiles, unknown: str = "") -> str:
    """Return what a reader calls the method of a run.

    Args:
        run: the run that the page is about.
        unknown: said where the run does not tell.
    """
    method = str(run.config.get("method") or "")
    names = METHODS | (_OF_DETECTORS if is_detector(run) else {})
    return names.get(method, method or unknown)


def map_limit(run: RunFiles) -> str:
    """Return what a map of this run cannot say.

    Args:
        run: the run that the page is about.
    """
    if is_detector(run):
        return (
            "A box shows where this network places the finding. It can be wrong there, and where "
            "no box is, there may be one all the same."
        )
    return (
        "A heat map shows what moves this network's answer. It does not show what is on the film."
    )


def data_uri(picture: bytes) -> str:
    """Return a picture as it stands in the page.

    Args:
        picture: bytes of a PNG or JPEG.
    """
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def summary_of(run: RunFiles) -> dict[str, Any]:
    """Return the summary of the main section, empty when nothing was evaluated.

    Args:
        run: the run that the page is about.
    """
    found = main_section(run.evaluation)
    return found[1] if found else {}


def block(run: RunFiles, name: str) -> Any:
    """Return a part of the main section's summary, or None where it was not measured.

    Args:
        run: the run that the page is about.
        name: key of the summary, e.g. ``"calibration"``.
    """
    return summary_of(run).get(name) or None


def baseline_summary(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any]:
    """Return the baseline's summary of the main section, empty without a baseline.

    Args:
        run: the run that the page is about.
        baseline: the run that it is compared with, or None.
    """
    found = main_section(run.evaluation)
    if found is None or baseline is None:
        return {}
    sections: dict[str, Any] = baseline.evaluation.get("sections") or {}
    return sections.get(found[0]) or {}


def patients_unknown(run: RunFiles) -> int:
    """Return of how many films of the datalist nobody knows the patient.

    Args:
        run: the run that the page is about; 0 where it does not say.
    """
    found = run.config.get("films_without_patient")
    return found if isinstance(found, int) else 0


def judged_on(run: RunFiles) -> str | None:
    """Return what the judged films have served for before, or None for films kept apart.

    Films of another datalist than the training's have served for nothing, whatever their section
    is called.

    Args:
        run: the run that the page is about.
    """
    found = main_section(run.evaluation)
    if found is None or found[1].get("external"):
        return None
    section = found[0]
    if section.startswith(("labeled", "unlabeled")):
        return "films of the training"
    return "films that chose the epoch" if section == "validation" else None


def chosen_on_judged(run: RunFiles) -> int:
    """Return how many of the judged films have chosen thresholds and temperature, too.

    Args:
        run: the run that the page is about.
    """
    found = main_section(run.evaluation)
    if found is None:
        return 0
    section, summary = found
    all_of_them = section == "validation" and not summary.get("external")  # of older evaluations
    shared = summary.get("shared_with_validation", summary.get("n") if all_of_them else 0)
    return shared if isinstance(shared, int) else 0


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether something is a finite number.

    Args:
        value: anything that a file holds.
    """
    return isinstance(value, int | float) and math.isfinite(value)


def is_interval(limits: Any) -> TypeGuard[Sequence[float]]:
    """Return whether something is two confidence limits, both known.

    Args:
        limits: anything that a file holds.
    """
    return (
        isinstance(limits, list | tuple)
        and len(limits) == 2
        and all(is_number(limit) for limit in limits)
    )


def limits_or_none(limits: Any) -> list[float] | None:
    """Return two confidence limits, or None where there are none.

    Args:
        limits: anything that a file holds.
    """
    return list(limits) if is_interval(limits) else None


def turned(limits: Any, *, around: float = 0.0) -> list[float] | None:
    """Return the limits of ``around`` minus a value, or None where there are none.

    Args:
        limits: confidence limits of the value, or anything else.
        around: 0 turns the sign, 1 a share into that of the others.
    """
    return [around - limits[1], around - limits[0]] if is_interval(limits) else None


def scale_start(intervals: list[Any]) -> float:
    """Return where an axis of AUROCs begins: 0.5, or the tenth below the lowest limit.

    Args:
        intervals: confidence limits; what is no interval does not count.
    """
    lows = [limits[0] for limits in intervals if is_interval(limits)]
    return max(0.0, min(0.5, math.floor(min([0.5, *lows]) * 10 + 1e-9) / 10))


def last_part(text: str) -> str:
    """Return a text, or of a path its last part alone: folders may be called after people.

    Args:
        text: a setting, or what a file says of itself.
    """
    if "/" in text or "\\" in text:
        return "… / " + PurePath(text.replace("\\", "/")).name
    return text
