# SPDX-License-Identifier: Apache-2.0
"""What has to stand beside a number wherever it is printed: page, model card, checklist."""

from __future__ import annotations

from typing import Any

from monai_kd.report.common import block, is_number, limits_or_none, main_section, turned
from monai_kd.report.markdown import number, span
from monai_kd.report.run_files import RunFiles

__all__ = [
    "ECE_NOTE",
    "drop_in_words",
    "films_without_patient",
    "seen_before",
    "shared_note",
    "shared_with_validation",
]

ECE_NOTE = (
    "The calibration error is never below 0, and noise alone lifts it above, the more the fewer "
    "films there are: its interval may end at the estimate."
)
"""Stands wherever an expected calibration error is printed."""


_SEEN = {"labeled": "films of the training", "validation": "films that chose the epoch"}


def films_without_patient(run: RunFiles) -> int:
    """Return how many films of the datalist have no known patient; 0 where the run is silent.

    Args:
        run: what the run directory holds.
    """
    return _count(run.config.get("films_without_patient"))


def seen_before(run: RunFiles) -> str:
    """Return what the films of the main section were to the model, "" when they were new to it.

    Films of another datalist were new to it, whatever their section is called.

    Args:
        run: what the run directory holds.
    """
    found = main_section(run.evaluation)
    if found is None or found[1].get("external"):
        return ""
    return _SEEN.get(found[0], "")


def shared_with_validation(run: RunFiles) -> int:
    """Return how many films were judged by thresholds and a temperature that they had chosen.

    Args:
        run: what the run directory holds. If it does not say, all films of the validation section
            were, and none of another.
    """
    found = main_section(run.evaluation)
    if found is None:
        return 0
    section, summary = found
    own_validation = section == "validation" and not summary.get("external")
    default = summary.get("n") if own_validation else 0
    return _count(summary.get("shared_with_validation", default))


def shared_note(run: RunFiles) -> str:
    """Return that thresholds and temperature were judged on films that chose them, "" if not so.

    Args:
        run: what the run directory holds.
    """
    shared = shared_with_validation(run)
    if not shared:
        return ""
    return (
        f"{shared} of the {block(run, 'n') or shared} films judged here also chose thresholds "
        "and temperature: on new films the numbers are likely worse."
    )


def drop_in_words(external: dict[str, Any]) -> str:
    """Return how an external AUROC stands to the model's own, as the end of a sentence.

    Args:
        external: ``summary["external"]`` of an evaluation.

    Example:
        >>> found = {"internal_auroc": 0.8, "drop": -0.05, "drop_ci": [-0.09, -0.01]}
        >>> drop_in_words(found | {"verdict": "gain shown", "internal_section": "test"})
        '0.050 higher (0.010 to 0.090) than on its own section test (0.800)'
    """
    drop, section = external.get("drop"), external.get("internal_section")
    if drop is None:
        return "with no evaluation on its own films to compare it with"
    home = f"its own section {section}" if section else "its own films"
    words = (
        f"{_step(drop, external.get('drop_ci'))} than on {home} "
        f"({number(external.get('internal_auroc'))})"
    )
    if section == "validation":
        words += ", whose films chose the epoch"
    return words + ("; a difference is not shown" if external.get("verdict") == "not shown" else "")


def _count(value: Any) -> int:
    return int(value) if is_number(value) else 0


def _step(drop: float, limits: Any) -> str:
    """How far and in which direction; the limits are turned with it."""
    word, sure = ("lower", limits_or_none(limits)) if drop >= 0 else ("higher", turned(limits))
    return f"{number(abs(drop))} {word}" + (f" ({span(sure)})" if sure else "")
