# SPDX-License-Identifier: Apache-2.0
"""How well the findings are told apart: scores of each, ROC and PR curves, confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_kd.report.common import (
    baseline_summary,
    block,
    data_uri,
    main_section,
    patients_unknown,
    scale_start,
)
from monai_kd.report.curve_plots import precision_recall_png, roc_png
from monai_kd.report.plots import confusion_png
from monai_kd.report.run_files import RunFiles

__all__ = ["confusion", "findings", "mistakes", "precision_recall", "roc"]

_MOST_MISTAKES = 5


def findings(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return a row for each finding.

    Args:
        run: the run that the page is about.
        baseline: the run that it is compared with, or None.
    """
    found = main_section(run.evaluation)
    if found is None:
        return None
    summary, other = found[1], baseline_summary(run, baseline)
    auprc, auprc_ci = summary.get("auprc") or {}, summary.get("auprc_ci") or {}
    rows = [
        {
            "name": name,
            "auroc": summary["auroc"].get(name),
            "ci": summary["auroc_ci"].get(name),
            "auprc": auprc.get(name),
            "auprc_ci": auprc_ci.get(name),
            "baseline": other.get("auroc", {}).get(name),
            "positives": summary["positives"].get(name),
            "negatives": summary["negatives"].get(name),
            **_rates(summary, name),
        }
        for name in summary["findings"]
    ]
    return {
        "rows": rows,
        "scale_from": scale_start(list(summary["auroc_ci"].values())),
        "with_baseline": bool(other),
        "patients_in_part": patients_unknown(run) > 0,
        "with_auprc": bool(auprc),
    }


def roc(run: RunFiles, baseline: RunFiles | None) -> str | None:
    """Return the ROC curves, with a ring where the model was set to work.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    table = run.predictions
    if table is None:
        return None
    points: dict[str, list[tuple[float, float]]] = {}
    for row in block(run, "operating_points") or []:
        if None not in (row.get("sensitivity"), row.get("specificity")):
            at = (1 - row["specificity"], row["sensitivity"])
            points.setdefault(row["finding"], []).append(at)
    return data_uri(roc_png(table.prob, table.label, findings=table.findings, points=points))


def precision_recall(run: RunFiles, baseline: RunFiles | None) -> str | None:
    """Return the curves of precision over recall.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    table = run.predictions
    if table is None:
        return None
    return data_uri(precision_recall_png(table.prob, table.label, findings=table.findings))


def confusion(run: RunFiles, baseline: RunFiles | None) -> str | None:
    """Return the confusion matrix.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    matrix = block(run, "confusion_matrix")
    if matrix is None:
        return None
    return data_uri(confusion_png(matrix, findings=block(run, "findings")))


def mistakes(run: RunFiles, baseline: RunFiles | None) -> list[dict[str, Any]] | None:
    """Return the most frequent mistakes, as shares of the films that they could happen to.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    matrix = block(run, "confusion_matrix")
    if matrix is None:
        return None
    names = block(run, "findings")
    found = _wrong_marks(matrix) if isinstance(matrix, dict) else _mix_ups(matrix, names)
    found = [one for one in found if one["count"]]
    return sorted(found, key=lambda one: -one["count"] / one["of"])[:_MOST_MISTAKES]


def _mix_ups(matrix: list[list[int]], names: list[str]) -> list[dict[str, Any]]:
    return [
        {"what": f"{names[row]} taken for {names[column]}", "count": count, "of": sum(line)}
        for row, line in enumerate(matrix)
        for column, count in enumerate(line)
        if row != column
    ]


def _wrong_marks(matrices: dict[str, list[list[int]]]) -> list[dict[str, Any]]:
    found = []
    for name, (absent, present) in matrices.items():
        found.append({"what": f"{name} missed", "count": present[0], "of": sum(present)})
        found.append({"what": f"{name} marked by mistake", "count": absent[1], "of": sum(absent)})
    return found


def _rates(summary: dict[str, Any], name: str) -> dict[str, float | None]:
    """Sensitivity and specificity of the decision: argmax, or 0.5."""
    each = summary["activation"] == "sigmoid"
    matrix = np.asarray(summary["confusion_matrix"][name] if each else summary["confusion_matrix"])
    here = 1 if each else summary["findings"].index(name)
    positives, hits = matrix[here].sum(), matrix[here, here]
    negatives = matrix.sum() - positives
    alarms = matrix[:, here].sum() - hits
    return {
        "sensitivity": float(hits / positives) if positives else None,
        "specificity": float(1 - alarms / negatives) if negatives else None,
    }
