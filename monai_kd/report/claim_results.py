# SPDX-License-Identifier: Apache-2.0
"""What a run can answer of the checklist on the results."""

from __future__ import annotations

from typing import Any

from monai_kd.report.caveats import seen_before, shared_note
from monai_kd.report.claim_answer import Answer, known, not_known, partly
from monai_kd.report.common import block, main_section
from monai_kd.report.markdown import with_ci
from monai_kd.report.rare import SMALLEST_GROUP
from monai_kd.report.run_files import RunFiles
from monai_kd.report.sections import making

__all__ = [
    "accuracy",
    "failures",
    "intended",
    "limits",
    "patients",
    "performance",
]

_MOST_TOLD = 6  # findings whose numbers fit into a line


def patients(run: RunFiles) -> Answer:
    """Return sexes and ages of the evaluated patients.

    Args:
        run: what the run directory holds.
    """
    rows = [
        row
        for row in block(run, "subgroups") or []
        if row["by"] in {"sex", "age"} and row["n"] >= SMALLEST_GROUP
    ]
    if not rows:
        return not_known()
    told = ", ".join(f"{row['by']} {row['group']}: {row['n']} films" for row in rows)
    return partly(f"Evaluated section: {told}. Clinical findings: not known.")


def performance(run: RunFiles) -> Answer:
    """Return the headline.

    Args:
        run: what the run directory holds.
    """
    found, seen = main_section(run.evaluation), seen_before(run)
    if found is None or found[1].get("macro_auroc") is None:
        return not_known()
    value = with_ci(found[1]["macro_auroc"], found[1].get("macro_auroc_ci"))
    told = f"Macro AUROC {value} on section {found[0]}; each finding is on the page."
    return partly(f"{told} These are {seen}.") if seen else known(told)


def accuracy(run: RunFiles) -> Answer:
    """Return sensitivity and specificity at the first operating point of each finding.

    Args:
        run: what the run directory holds.
    """
    rows, seen = block(run, "operating_points"), seen_before(run)
    if not rows:
        return not_known()
    first = {row["finding"]: row for row in reversed(rows)}
    told = f"The page has {len(rows)} operating points of {len(first)} findings."
    if len(first) <= _MOST_TOLD:
        told = "; ".join(_told(name, row) for name, row in sorted(first.items())) + "."
    limits = [shared_note(run), f"These are {seen}." if seen else ""]
    return partly(" ".join([told, *filter(None, limits)])) if any(limits) else known(told)


def _told(name: str, row: dict[str, Any]) -> str:
    """Both rates of a finding, and what its threshold was chosen for."""
    goal = "the Youden index" if row["goal"] == "youden" else row["goal"]
    return (
        f"{name}, at the threshold chosen on validation for {goal}: "
        f"sensitivity {with_ci(row['sensitivity'], row.get('sensitivity_ci'), 2)}, "
        f"specificity {with_ci(row['specificity'], row.get('specificity_ci'), 2)}"
    )


def failures(run: RunFiles) -> Answer:
    """Return that the worst films are shown.

    Args:
        run: what the run directory holds.
    """
    found = block(run, "worst_cases")
    if not found:
        return not_known()
    return partly(
        f"The {len(found)} films with the highest loss are on the page. Why: yours to say."
    )


def limits(run: RunFiles) -> Answer:
    """Return the limits that the run can see.

    Args:
        run: what the run directory holds.
    """
    seen = making.limits(run, None)
    if not seen:
        return not_known()
    return partly(" ".join([*seen, "The others are yours."]))


def intended(run: RunFiles) -> Answer:
    """Return what it is for.

    Args:
        run: what the run directory holds.
    """
    return partly(
        "Research only; no medical device, not for diagnosis. The clinical role is yours."
    )
