# SPDX-License-Identifier: Apache-2.0
"""Which section of an evaluation a reader is told of, when several were evaluated."""

from __future__ import annotations

from typing import Any

__all__ = ["main_section", "predictions_of"]


def main_section(evaluation: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the section that the page leads with, and its summary: the one last evaluated.

    ``predictions.csv`` is of that section, so the curves and the numbers are of the same films. A
    section without a judged film is passed over; what else the folder holds is then of other films
    than the numbers, see :func:`predictions_of`.

    Args:
        evaluation: content of ``evaluation.json``.
    """
    told = evaluation.get("sections")
    sections = {
        name: summary
        for name, summary in (told.items() if isinstance(told, dict) else ())
        if isinstance(summary, dict) and summary and summary.get("n") != 0
    }
    for name in (evaluation.get("predictions_of"), "test", *sections):
        if name in sections:
            return str(name), sections[name]
    return None


def predictions_of(evaluation: dict[str, Any]) -> str | None:
    """Return the section that tables and pictures are of where it is not the main one, else None.

    Args:
        evaluation: content of ``evaluation.json``.
    """
    found, last = main_section(evaluation), evaluation.get("predictions_of")
    return str(last) if found and last not in (None, found[0]) else None
