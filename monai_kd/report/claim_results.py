# SPDX-License-Identifier: Apache-2.0
"""What a run can answer of the checklist on evaluation and results."""

from __future__ import annotations

from monai_kd.report.claim_answer import Answer, known, not_known, partly
from monai_kd.report.common import block, is_interval, main_section, map_name
from monai_kd.report.markdown import with_ci
from monai_kd.report.run_files import RunFiles

__all__ = [
    "accuracy",
    "explained",
    "external",
    "failures",
    "intended",
    "internal",
    "limits",
    "measures",
    "patients",
    "performance",
    "robustness",
]

_MOST_TOLD = 6  # findings whose numbers fit into a line


def measures(run: RunFiles) -> Answer:
    """Return what was measured.

    Args:
        run: what the run directory holds.
    """
    found = main_section(run.evaluation)
    if found is None:
        return not_known()
    names = ["AUROC", "AUPRC", "accuracy", "balanced accuracy", "macro F1"]
    more = {
        "operating_points": "sensitivity, specificity and predictive values at set thresholds",
        "calibration": "calibration error and Brier score",
        "localization": "FROC of candidates against drawn lesions",
        "decision_regions": "share of the heat map in drawn regions",
    }
    return known(
        ", ".join(names + [words for key, words in more.items() if found[1].get(key)]) + "."
    )


def robustness(run: RunFiles) -> Answer:
    """Return by which subgroups and against which control it was looked at.

    Args:
        run: what the run directory holds.
    """
    groups = sorted({str(row["by"]) for row in block(run, "subgroups") or []})
    if not groups:
        return not_known()
    return partly(
        f"Subgroups by {', '.join(groups)}. Other seeds and noisy input: not in this run."
    )


def explained(run: RunFiles) -> Answer:
    """Return how often heat maps and experts agree.

    Args:
        run: what the run directory holds.
    """
    found = block(run, "decision_regions")
    if not found:
        return not_known()
    limits = found.get("mass_inside_ci")
    sure = f" ({100 * limits[0]:.1f} to {100 * limits[1]:.1f})" if is_interval(limits) else ""
    control = (found.get("control") or {}).get("mass_inside")
    beside = "" if control is None else f"; a network of random weights has {100 * control:.1f}%"
    return known(
        f"Heat maps ({map_name(found.get('method'))}) checked against drawn regions on "
        f"{found.get('n', 'some')} films: {100 * found['mass_inside']:.1f}% of the map{sure} lies "
        f"inside{beside}."
    )


def internal(run: RunFiles) -> Answer:
    """Return which section was evaluated.

    Args:
        run: what the run directory holds.
    """
    found = main_section(run.evaluation)
    if found is None:
        return not_known()
    if found[1].get("external"):
        return known("Yes; those numbers are the ones that the external films are compared with.")
    return known(f"Yes: section {found[0]}, patients that training has not seen.")


def external(run: RunFiles) -> Answer:
    """Return what the films of another site cost.

    Args:
        run: what the run directory holds.
    """
    found = block(run, "external")
    if not found:
        return partly("Not in this evaluation.")
    drop = with_ci(found["drop"], found.get("drop_ci"))
    return known(f"Yes: macro AUROC {found['auroc']:.3f}, {drop} below the internal one.")


def patients(run: RunFiles) -> Answer:
    """Return sexes and ages of the evaluated patients.

    Args:
        run: what the run directory holds.
    """
    rows = [row for row in block(run, "subgroups") or [] if row["by"] in {"sex", "age"}]
    if not rows:
        return not_known()
    told = ", ".join(f"{row['by']} {row['group']}: {row['n']} films" for row in rows)
    return partly(f"Evaluated section: {told}. Clinical findings: not known.")


def performance(run: RunFiles) -> Answer:
    """Return the headline.

    Args:
        run: what the run directory holds.
    """
    found = main_section(run.evaluation)
    if found is None or found[1].get("macro_auroc") is None:
        return not_known()
    value = with_ci(found[1]["macro_auroc"], found[1].get("macro_auroc_ci"))
    return known(f"Macro AUROC {value} on section {found[0]}; each finding is on the page.")


def accuracy(run: RunFiles) -> Answer:
    """Return sensitivity and specificity at the first operating point of each finding.

    Args:
        run: what the run directory holds.
    """
    rows = block(run, "operating_points")
    if not rows:
        return not_known()
    first = {row["finding"]: row for row in reversed(rows)}
    if len(first) > _MOST_TOLD:
        return known(f"The page has {len(rows)} operating points of {len(first)} findings.")
    told = [
        f"{name}: sensitivity {with_ci(row['sensitivity'], row.get('sensitivity_ci'), 2)}, "
        f"specificity {with_ci(row['specificity'], row.get('specificity_ci'), 2)}"
        for name, row in sorted(first.items())
    ]
    return known("; ".join(told) + ".")


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
    """Return that limits are named.

    Args:
        run: what the run directory holds.
    """
    return partly("The page and MODEL_CARD.md name those that a run can see; the others are yours.")


def intended(run: RunFiles) -> Answer:
    """Return what it is for.

    Args:
        run: what the run directory holds.
    """
    return partly(
        "Research only; no medical device, not for diagnosis. The clinical role is yours."
    )
