# SPDX-License-Identifier: Apache-2.0
"""What a run can answer of the checklist on how the model was evaluated."""

from __future__ import annotations

from typing import Any

from monai_kd.report.caveats import drop_in_words, films_without_patient, seen_before
from monai_kd.report.claim_answer import Answer, known, not_known, partly
from monai_kd.report.common import (
    block,
    is_interval,
    main_section,
    map_name,
)
from monai_kd.report.markdown import number, with_ci
from monai_kd.report.run_files import RunFiles

__all__ = ["explained", "external", "internal", "measures", "robustness", "uncertainty"]

_OWN_SECTIONS = ("labeled", "validation")  # their films have taught the model, or chosen its epoch


def measures(run: RunFiles) -> Answer:
    """Return what was measured.

    Args:
        run: what the run directory holds.
    """
    found = main_section(run.evaluation)
    if found is None:
        return not_known()
    measured = {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "operating_points": "sensitivity, specificity and predictive values at set thresholds",
        "calibration": "calibration error and Brier score",
        "localization": "FROC of candidates against drawn lesions",
        "decision_regions": "share of the heat map in drawn regions",
    }
    told = [words for key, words in measured.items() if found[1].get(key) not in (None, [], {})]
    return known(", ".join(told) + ".") if told else not_known()


def uncertainty(run: RunFiles) -> Answer:
    """Return that there are intervals, and whether films of one patient count together in them.

    Args:
        run: what the run directory holds.
    """
    found = main_section(run.evaluation)
    if found is None or not is_interval(found[1].get("macro_auroc_ci")):
        return not_known()
    compared = (
        "two models are compared on the same films, and a gain whose interval includes 0 is called "
        "not shown."
    )
    if films_without_patient(run) or not found[1].get("patients"):
        return partly(
            "95% confidence intervals, in which a film whose patient is not known counts as a "
            f"patient of its own, so that they may be too narrow; {compared}"
        )
    return known(f"95% confidence intervals, films of one patient counted together; {compared}")


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
    control, beside = found.get("control") or {}, ""
    if control.get("mass_inside") is not None:
        films = f" on {control['n']} films" if control.get("n") else ""
        beside = f"; a network of shuffled weights has {100 * control['mass_inside']:.1f}%{films}"
    return known(
        f"Heat maps ({map_name(found.get('method'))}) checked against drawn regions on "
        f"{found.get('n', 'some')} films: {100 * found['mass_inside']:.1f}% of the map{sure} lies "
        f"inside{beside}."
    )


def internal(run: RunFiles) -> Answer:
    """Return which section was evaluated, and what its films were to the model.

    Args:
        run: what the run directory holds.
    """
    found, seen = main_section(run.evaluation), seen_before(run)
    if found is None or not found[1].get("n"):
        return not_known()
    section, summary = found
    if summary.get("external"):
        return _at_home(summary["external"])
    if seen and section == "validation":
        return partly(f"Yes: section {section}, but these are {seen}.{_as_well(run)}")
    if seen:
        return known(f"No: section {section}, {seen}.{_as_well(run)}")
    if films_without_patient(run):
        return partly(
            f"Yes: section {section}, films that training has not seen; whether it saw their "
            "patients is not known."
        )
    return known(f"Yes: section {section}, patients that training has not seen.")


def _as_well(run: RunFiles) -> str:
    """Sections of new films that the run was evaluated on before."""
    sections = run.evaluation.get("sections") or {}
    others = [name for name, one in sections.items() if one.get("n") and name not in _OWN_SECTIONS]
    return f" Evaluated as well: section {', '.join(others)}." if others else ""


def _at_home(found: dict[str, Any]) -> Answer:
    """What the films of another site are compared with."""
    if found.get("internal_auroc") is None:
        return not_known()
    value = with_ci(found["internal_auroc"], found.get("internal_ci"))
    section = found.get("internal_section")
    where = f"section {section} of its own datalist" if section else "its own datalist"
    if section == "validation":
        return partly(f"Yes: macro AUROC {value} on {where}, but these films chose the epoch.")
    return known(f"Yes: macro AUROC {value} on {where}.")


def external(run: RunFiles) -> Answer:
    """Return what the films of another site cost.

    Args:
        run: what the run directory holds.
    """
    evaluated, found = main_section(run.evaluation), block(run, "external")
    if evaluated is None:
        return not_known()
    if not found:
        return partly("Not in this evaluation. Elsewhere: not known.")
    told = f"Yes: macro AUROC {number(found.get('auroc'))}, {drop_in_words(found)}."
    return known(told) if found.get("drop") is not None else partly(told)
