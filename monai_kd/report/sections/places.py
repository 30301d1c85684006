# SPDX-License-Identifier: Apache-2.0
"""Where on the film: decision regions beside a control, candidates against lesions, worst films."""

from __future__ import annotations

import io
from typing import Any

from monai_kd.explain import HEAT_COLORS
from monai_kd.metrics import METADATA, subgroup_masks
from monai_kd.metrics.subgroups import NOT_KNOWN
from monai_kd.report.common import baseline_summary, block, data_uri, is_interval, map_name
from monai_kd.report.curve_plots import froc_png
from monai_kd.report.run_files import RunFiles

__all__ = ["localization", "regions", "worst"]

_MOST_FILMS = 8
_RULES = {
    "center": "its center lies inside",
    "iou": "the boxes overlap enough, by IoU",
    "iobb": "enough of the candidate's box lies inside",
}
_ABOUT = {"age": "aged {}", "site": "site {}"}
_WIDE = 1.4  # width by height from which on words go under a picture, not beside it


def regions(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return the shares by model, the random control's too, and films as both models see them.

    Args:
        run: the run that the page is about.
        baseline: the run that it is compared with, or None.
    """
    ours = block(run, "decision_regions")
    theirs = baseline_summary(run, baseline).get("decision_regions")
    pairs = _pairs(run.pictures, baseline.pictures if baseline else {})
    if not ours and not pairs:
        return None
    ours = ours or {}
    name = str(run.config.get("method") or "this run")
    models = {
        name: ours,
        (name + " (baseline)" if name == "baseline" else "baseline"): theirs,
        "same network, shuffled weights": ours.get("control"),
    }
    return {
        "models": {name: model for name, model in models.items() if model},
        "area": ours.get("region_share"),
        "method": map_name(ours.get("method")),
        "with_iou": ours.get("iou") is not None,
        "beyond": _beyond(ours),
        "with_empty": any(model.get("empty") for model in (ours, theirs or {})),
        "other_films": _other_films(ours, theirs),
        "pairs": pairs,
        "gradient": ", ".join(_css(color) for color in HEAT_COLORS),
    }


def _beyond(ours: dict[str, Any]) -> dict[str, Any] | None:
    """Whether the map knows more of the region than the map of an untrained network."""
    found = ours.get("beyond_control") or {}
    limits = found.get("mass_inside_ci")
    if found.get("mass_inside") is None or not is_interval(limits):
        return None
    pairs = (ours.get("control") or {}).get("n")  # films on which both have a map
    return {"gain": found["mass_inside"], "ci": limits, "shown": limits[0] > 0, "pairs": pairs}


def _other_films(ours: dict[str, Any], theirs: dict[str, Any] | None) -> bool:
    """Whether the two models' rows may be of different films: each leaves its empty maps out."""
    if not ours or not theirs:
        return False
    empty = ours.get("empty") or theirs.get("empty")
    return bool(empty) or ours.get("n") != theirs.get("n")


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


def localization(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return the FROC of each finding that has drawn lesions, as a table and a plot.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found = block(run, "localization")
    if not found:
        return None
    first = next(iter(found.values()))
    rows = [
        {
            "name": name,
            **row,
            "recalls": list(zip(row["recall"], row.get("recall_ci") or row["recall"], strict=True)),
        }
        for name, row in found.items()
    ]
    return {
        "rows": rows,
        "rates": first["fp_per_image"],
        "rule": _RULES.get(str(first.get("rule")), first.get("rule")),
        "plot": data_uri(froc_png(found)),
    }


def worst(run: RunFiles, baseline: RunFiles | None) -> list[dict[str, Any]] | None:
    """Return the films that the model got most wrong, with what is known of each.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    found = block(run, "worst_cases")
    if not found:
        return None
    told = _told_groups(run)
    return [
        {
            **film,
            **_picture(run.worst.get(film["picture"])),
            "truth": [name for name, value in film["label"].items() if value == 1],
            "answers": _answers(film, exclusive=block(run, "activation") == "softmax"),
            "about": _about(film, told),
        }
        for film in sorted(found, key=lambda film: film["rank"])
    ]


def _picture(content: bytes | None) -> dict[str, Any]:
    from PIL import Image

    if content is None:
        return {"picture": None, "wide": False}
    width, height = Image.open(io.BytesIO(content)).size
    return {"picture": data_uri(content), "wide": width > _WIDE * height}


def _answers(film: dict[str, Any], *, exclusive: bool) -> list[dict[str, Any]]:
    """The three likeliest findings, and which of them are a wrong decision."""
    ranked = sorted(film["prob"].items(), key=lambda answer: -(answer[1] or 0))
    return [
        {
            "name": name,
            "prob": prob,
            "wrong": film["label"].get(name) == 0 and (rank == 0 if exclusive else prob >= 0.5),
        }
        for rank, (name, prob) in enumerate(ranked[:3])
    ]


def _told_groups(run: RunFiles) -> set[tuple[str, str]]:
    """Column and group of those that are large enough to be told of, see ``subgroup_masks``."""
    if run.predictions is not None:
        table = run.predictions
        return set(subgroup_masks(table.metadata, patient_id=table.patient_id))
    return {(row["by"], row["group"]) for row in block(run, "subgroups") or []}


def _about(film: dict[str, Any], told: set[tuple[str, str]]) -> str:
    """Sex, age band, view and site, each where enough films of the section share it."""
    values = {by: ["" if film.get(by) is None else film[by]] for by in METADATA}
    groups = [group for group in subgroup_masks(values, smallest=1) if group in told]
    return ", ".join(_ABOUT.get(by, "{}").format(name) for by, name in groups if name != NOT_KNOWN)
