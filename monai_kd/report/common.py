# SPDX-License-Identifier: Apache-2.0
"""What every section needs: the evaluated section, the baseline's, a picture as text, words."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, TypeGuard

from monai_kd.report.run_files import RunFiles

__all__ = [
    "METHODS",
    "baseline_summary",
    "block",
    "data_uri",
    "is_interval",
    "last_part",
    "main_section",
    "map_name",
    "scale_start",
    "summary_of",
]

METHODS = {
    "hkd": "Human knowledge distillation",
    "baseline": "Baseline: image labels alone",
    "soft_target": "Soft-target distillation",
    "self_distillation": "Self-distillation without regions",
}
"""What a reader calls the methods."""


_MAPS = {
    "grad_cam++": "Grad-CAM++",
    "rollout": "attention rollout",
    "relevance": "gradient-weighted attention",
}


def map_name(method: Any) -> str:
    """Return what a reader calls a kind of heat map; Grad-CAM where the run does not say.

    Args:
        method: as in :func:`monai_kd.explain.explain`, or None.
    """
    return _MAPS.get(str(method), "Grad-CAM")


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
    """Return the baseline's summary of the main section, from its own run or from this one's file.

    Args:
        run: the run that the page is about.
        baseline: the run that it is compared with, or None.
    """
    found = main_section(run.evaluation)
    evaluation = baseline.evaluation if baseline else run.evaluation.get("baseline", {})
    sections: dict[str, Any] = evaluation.get("sections", {})
    return sections.get(found[0]) or {} if found else {}


def is_interval(limits: Any) -> TypeGuard[Sequence[float]]:
    """Return whether something is two confidence limits, both known.

    Args:
        limits: anything that a file holds.
    """
    return (
        isinstance(limits, list | tuple)
        and len(limits) == 2
        and all(isinstance(limit, int | float) and math.isfinite(limit) for limit in limits)
    )


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
