# SPDX-License-Identifier: Apache-2.0
"""``MODEL_CARD.md``: what goes with the weights wherever they go.

Source of the idea and of the headings: Mitchell et al., "Model Cards for Model Reporting",
FAT* 2019, https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai_kd.report.caveats import (
    ECE_NOTE,
    drop_in_words,
    films_without_patient,
    seen_before,
    shared_note,
)
from monai_kd.report.common import block, main_section, map_limit, method_name
from monai_kd.report.markdown import cell, number, span, table, with_ci
from monai_kd.report.rare import SMALLEST_GROUP
from monai_kd.report.run_files import RunFiles, read_run
from monai_kd.report.sections import making
from monai_kd.utils import write_text_atomically

__all__ = ["write_model_card"]

_log = logging.getLogger(__name__)
_USE = (
    "For research on radiographs of the kind that it was tested on. It is no medical device, was "
    "not cleared by any authority, and must not be used to diagnose, to triage, or to rule out."
)
_ALWAYS = (
    "The numbers hold for films like those of this section: the same scanners, the same patients, "
    "the same way of labeling. On another site they can be far lower.",
    "One training run is one draw. Before a difference between methods is believed, it needs "
    "several seeds.",
)


def write_model_card(run_dir: str | os.PathLike[str], *, run: RunFiles | None = None) -> Path:
    """Write ``MODEL_CARD.md`` into a run directory, whole or not at all.

    What the run does not tell is said; salted ids and file names do not get in.

    Args:
        run_dir: the run directory.
        run: what it holds, if it has been read already.

    Returns:
        Path of the card.
    """
    found = run or read_run(Path(run_dir))
    lines = ["# Model card: " + cell(_name(found))]
    for title, tell in _PARTS.items():
        lines += ["", f"## {title}", "", *(_told(tell, found) or ["Not known."])]
    path = Path(run_dir) / "MODEL_CARD.md"
    write_text_atomically(path, "\n".join(lines) + "\n")
    return path


def _told(tell: Callable[[RunFiles], list[str]], run: RunFiles) -> list[str]:
    try:
        return tell(run)
    except Exception as error:  # a card with a gap is better than no card
        _log.warning("The model card goes without a part: %s", type(error).__name__)
        return []


def _name(run: RunFiles) -> str:
    return method_name(run, "training run")


def _details(run: RunFiles) -> list[str]:
    told = {
        "method": _name(run),
        "network": run.config.get("backbone"),
        "image": f"{run.config['spatial_size']} x {run.config['spatial_size']} pixels, gray"
        if run.config.get("spatial_size")
        else None,
        "findings": ", ".join(run.config.get("findings") or block(run, "findings") or []),
        "answer": run.config.get("activation") or block(run, "activation"),
        "seed": run.config.get("seed"),
        **(making.versions(run, None) or {}),
    }
    return table(
        ["", ""], [[name, cell(value)] for name, value in told.items() if value not in (None, "")]
    )


def _use(run: RunFiles) -> list[str]:
    return [_USE]


def _data(run: RunFiles) -> list[str]:
    found = making.data(run, None)
    if found is None:
        return []
    names = [cell(name) for name in found["findings"]]
    rows = [
        [
            cell(section),
            str(row["images"]),
            "not known" if row["patients"] is None else str(row["patients"]),
            *(cell(row["positives"][name]) for name in found["findings"]),
            number(row.get("regions"), 0),
        ]
        for section, row in found["rows"].items()
    ]
    return table(["section", "images", "patients", *names, "with regions"], rows)


def _results(run: RunFiles) -> list[str]:
    found = main_section(run.evaluation)
    if found is None:
        return []
    section, summary = found
    scores = {
        "macro AUROC": "macro_auroc",
        "macro AUPRC": "macro_auprc",
        "accuracy": "accuracy",
        "balanced accuracy": "balanced_accuracy",
        "macro F1": "macro_f1",
    }
    rows = [
        [name, number(summary[key]), span(summary.get(f"{key}_ci"))]
        for name, key in scores.items()
        if summary.get(key) is not None
    ]
    rows += [
        [f"AUROC of {cell(name)}", number(value), span(summary["auroc_ci"].get(name))]
        for name, value in summary["auroc"].items()
    ]
    head = f"Section {cell(section)}: {summary.get('n')} images{_people(run, summary)}."
    seen = seen_before(run)
    if seen:
        head += f" These are {seen}: the numbers say little about new ones."
    return [head, "", *table(["", "estimate", "95% CI"], rows), *_external(summary.get("external"))]


def _people(run: RunFiles, summary: dict[str, Any]) -> str:
    if films_without_patient(run):
        return ", patients not known"
    return f", {summary['patients']} patients" if summary.get("patients") else ""


def _external(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    return [
        "",
        f"These films are external: the macro AUROC is {number(found.get('auroc'))}, "
        f"{cell(drop_in_words(found))}.",
        *(f"- {cell(hint)}" for hint in found.get("hints") or []),
    ]


def _calibration(run: RunFiles) -> list[str]:
    found = block(run, "calibration")
    if not found:
        return []
    rows = [
        ["expected calibration error", with_ci(found.get("ece"), found.get("ece_ci"))],
        ["Brier score", with_ci(found.get("brier"), found.get("brier_ci"))],
    ]
    if found.get("temperature") is not None:
        rows += [
            ["temperature, fitted on validation", number(found["temperature"], 2)],
            ["calibration error with it", number(found.get("ece_scaled"))],
            ["Brier score with it", number(found.get("brier_scaled"))],
        ]
    lines = [*table(["", "value (95% CI)"], rows), "", ECE_NOTE]
    if found.get("temperature") is not None and shared_note(run):
        lines += ["", shared_note(run)]
    return lines


def _operating_points(run: RunFiles) -> list[str]:
    rows = [
        [
            cell(row["finding"]),
            cell(row["goal"]),
            number(row["threshold"]),
            *(
                with_ci(row.get(name), row.get(f"{name}_ci"), 2)
                for name in ("sensitivity", "specificity", "ppv", "npv")
            ),
        ]
        for row in block(run, "operating_points") or []
    ]
    if not rows:
        return []
    head = ["finding", "chosen for", "threshold", "sensitivity", "specificity", "PPV", "NPV"]
    chosen = f"Thresholds were chosen on validation. {shared_note(run)}".strip()
    return [chosen, "", *table(head, rows)]


def _subgroups(run: RunFiles) -> list[str]:
    rows = [
        [
            cell(row["by"]),
            cell(row["group"]),
            str(row["n"]),
            with_ci(row.get("macro_auroc"), row.get("macro_auroc_ci")),
            with_ci(row.get("accuracy"), row.get("accuracy_ci")),
        ]
        for row in block(run, "subgroups") or []
        if row["n"] >= SMALLEST_GROUP
    ]
    head = ["by", "group", "images", "macro AUROC (95% CI)", "accuracy (95% CI)"]
    return table(head, rows) if rows else []


def _limits(run: RunFiles) -> list[str]:
    return [f"- {cell(limit)}" for limit in (*making.limits(run, None), *_ALWAYS, map_limit(run))]


def _hashes(run: RunFiles) -> list[str]:
    found = making.hashes(run, None)
    if found is None:
        return []
    return table(["SHA-256 of", ""], [[cell(name), f"`{value}`"] for name, value in found.items()])


_PARTS: dict[str, Callable[[RunFiles], list[str]]] = {
    "Model": _details,
    "Intended use": _use,
    "Data": _data,
    "Performance": _results,
    "Operating points": _operating_points,
    "Calibration": _calibration,
    "Subgroups": _subgroups,
    "Limits": _limits,
    "Hashes": _hashes,
}
