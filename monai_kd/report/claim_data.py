# SPDX-License-Identifier: Apache-2.0
"""What a run can answer of the checklist on study design, data, reference standard, partitions."""

from __future__ import annotations

from collections import Counter
from typing import Any

from monai_kd.report.claim_answer import Answer, known, not_known, partly
from monai_kd.report.common import METHODS, summary_of
from monai_kd.report.run_files import RunFiles

__all__ = [
    "acquisition",
    "design",
    "disjoint",
    "goal",
    "kind",
    "missing",
    "numbers",
    "partitions",
    "preparation",
    "sources",
    "subsets",
    "test_labels",
    "truth",
]


def _sections(run: RunFiles) -> dict[str, dict[str, Any]]:
    return run.config.get("data") or {}


def _findings(run: RunFiles) -> list[str]:
    return list(run.config.get("findings") or summary_of(run).get("findings") or [])


def kind(run: RunFiles) -> Answer:
    """Return which kind of AI it is.

    Args:
        run: what the run directory holds.
    """
    backbone, method = run.config.get("backbone"), run.config.get("method")
    if not backbone and not method:
        return not_known()
    how = METHODS.get(str(method), str(method or "training"))
    return partly(f"Deep learning: {how}, {backbone or 'unknown network'}. The title is yours.")


def design(run: RunFiles) -> Answer:
    """Return whether films were collected before or after the question was put.

    Args:
        run: what the run directory holds.
    """
    if run.config.get("synthetic"):
        return known("Neither: the films were drawn by a program, no patient was examined.")
    return not_known()


def goal(run: RunFiles) -> Answer:
    """Return what the model is to tell.

    Args:
        run: what the run directory holds.
    """
    findings = _findings(run)
    if not findings:
        return not_known()
    activation = run.config.get("activation") or summary_of(run).get("activation")
    how = "exactly one for each film" if activation == "softmax" else "each on its own"
    return known(f"Build and test a classifier of radiographs: {', '.join(findings)}; {how}.")


def sources(run: RunFiles) -> Answer:
    """Return which sites the films are of.

    Args:
        run: what the run directory holds.
    """
    if run.config.get("synthetic"):
        return known("The phantom archive of this library: films drawn by a program.")
    sites: Counter[str] = Counter()
    for row in _sections(run).values():
        sites.update(row.get("sites") or {})
    if not sites:
        return not_known()
    listed = ", ".join(f"{name} ({count} films)" for name, count in sites.most_common(8))
    return partly(f"Sites: {listed}. Dates and settings of the visits: not known.")


def preparation(run: RunFiles) -> Answer:
    """Return what is done to an image before the network sees it.

    Args:
        run: what the run directory holds.
    """
    size = run.config.get("spatial_size")
    if not size:
        return not_known()
    return known(
        "Stored values to gray by the DICOM's own tables and window, MONOCHROME1 turned over; "
        f"resized to {size} x {size} pixels; gray normalized. See the configuration."
    )


def subsets(run: RunFiles) -> Answer:
    """Return which sections there are.

    Args:
        run: what the run directory holds.
    """
    rows = _sections(run)
    if not rows:
        return not_known()
    films = ", ".join(f"{name} {row['images']}" for name, row in rows.items())
    drawn = sum(row.get("regions") or 0 for row in rows.values())
    return partly(f"Films: {films}; regions are drawn on {drawn}. How they were picked: not known.")


def missing(run: RunFiles) -> Answer:
    """Return how unknown labels and unreadable films are dealt with, and how many labels are.

    Args:
        run: what the run directory holds.
    """
    table = run.predictions
    if table is None:
        return not_known()
    films = int((table.label != table.label).any(axis=1).sum())  # NaN differs from itself
    return known(
        f"Unknown labels are left out, finding by finding: {films} of {len(table)} evaluated films "
        "have one. Films that cannot be read are listed without a probability and not scored."
    )


def acquisition(run: RunFiles) -> Answer:
    """Return which views there are.

    Args:
        run: what the run directory holds.
    """
    table = run.predictions
    views = Counter(filter(None, table.metadata.get("view", []))) if table else Counter()
    if not views:
        return not_known()
    listed = ", ".join(f"{name} {count}" for name, count in views.most_common(6))
    return partly(f"Views of the evaluated films: {listed}. Devices and exposure: not known.")


def truth(run: RunFiles) -> Answer:
    """Return in which form the truth came.

    Args:
        run: what the run directory holds.
    """
    rows = _sections(run)
    if not rows:
        return not_known()
    if run.config.get("synthetic"):
        return known("The program that drew the film knows what it drew, and where.")
    drawn = any(row.get("regions") for row in rows.values())
    form = "and regions drawn by hand on a part of them" if drawn else "without regions"
    return partly(f"A label for each image, {form}. How the labels were found: not known.")


def test_labels(run: RunFiles) -> Answer:
    """Return how the films of the test set were labeled.

    Args:
        run: what the run directory holds.
    """
    if run.config.get("synthetic"):
        return known("As all others: by the program that drew them.")
    return not_known()


def partitions(run: RunFiles) -> Answer:
    """Return how the films were dealt into sections.

    Args:
        run: what the run directory holds.
    """
    rows = _sections(run)
    if not rows:
        return not_known()
    patients = ", ".join(f"{name} {row['patients']}" for name, row in rows.items())
    return partly(f"Patients: {patients}. By whom or by which rule they were dealt: not known.")


def disjoint(run: RunFiles) -> Answer:
    """Return that patients are in one section only, which training checks.

    Args:
        run: what the run directory holds.
    """
    if not _sections(run):
        return not_known()
    return known(
        "Patient. Training refuses a datalist in which a patient, or the very same picture, is in "
        "two sections; evaluation refuses films that the model was trained on."
    )


def numbers(run: RunFiles) -> Answer:
    """Return how many films and patients were evaluated.

    Args:
        run: what the run directory holds.
    """
    summary = summary_of(run)
    if not summary.get("n"):
        return not_known()
    people = f" of {summary['patients']} patients" if summary.get("patients") else ""
    return partly(f"Evaluated: {summary['n']} films{people}. Excluded before: not known.")
