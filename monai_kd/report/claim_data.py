# SPDX-License-Identifier: Apache-2.0
"""What a run can answer of the checklist on study design and data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from monai_kd.report.caveats import films_without_patient
from monai_kd.report.claim_answer import Answer, known, not_known, partly
from monai_kd.report.common import is_detector, method_name, summary_of
from monai_kd.report.rare import pooled_text
from monai_kd.report.run_files import RunFiles

__all__ = [
    "acquisition",
    "design",
    "goal",
    "identities",
    "kind",
    "missing",
    "numbers",
    "preparation",
    "sources",
    "subsets",
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
    backbone, method = run.config.get("backbone"), method_name(run)
    if not backbone and not method:
        return not_known()
    network = backbone or "unknown network"
    return partly(f"Deep learning: {method or 'training'}, {network}. The title is yours.")


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
    what = "a detector on" if is_detector(run) else "a classifier of"
    return known(f"Build and test {what} radiographs: {', '.join(findings)}; {how}.")


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
    return partly(f"Sites: {pooled_text(sites)}. Dates and settings of the visits: not known.")


def preparation(run: RunFiles) -> Answer:
    """Return what is done to an image before the network sees it.

    Args:
        run: what the run directory holds.
    """
    size = run.config.get("spatial_size")
    if not size:
        return not_known()
    dicom = "DICOM: stored values to gray by its own tables and window, MONOCHROME1 turned over"
    then = f"padded to a square, resized to {size} x {size} pixels, gray normalized."
    if run.config.get("synthetic"):
        return known(f"{dicom}. All films: {then}")
    return partly(
        f"{dicom}; other files: gray as it is stored. All films: {then} Which formats the films "
        "had, and what was done before: not known."
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


def identities(run: RunFiles) -> Answer:
    """Return what keeps names out of the run, as far as this library does it.

    Args:
        run: what the run directory holds.
    """
    if run.config.get("synthetic"):
        return known("Nobody was examined: the films were drawn by a program.")
    if not _sections(run) and run.predictions is None:
        return not_known()
    return partly(
        "The run holds the ids of the datalist, which are salted hashes where `datalist` built it; "
        "of a DICOM file only a short list of tags is read, no dates and no names. Writing burnt "
        "into a film is not removed. What was done before: not known."
    )


def missing(run: RunFiles) -> Answer:
    """Return how unknown labels and unreadable films are dealt with, and how many labels are.

    Args:
        run: what the run directory holds.
    """
    table = run.predictions
    if table is None:
        return not_known()
    films = int(np.isnan(table.label).any(axis=1).sum())
    unreadable = summary_of(run).get("unreadable")
    count = "" if unreadable is None else f": {unreadable} here"
    return known(
        f"Unknown labels are left out, finding by finding: {films} of {len(table)} evaluated films "
        "have one. Films that cannot be read are listed without a probability and not scored"
        f"{count}."
    )


def acquisition(run: RunFiles) -> Answer:
    """Return which views there are.

    Args:
        run: what the run directory holds.
    """
    table = run.predictions
    views = pooled_text(table.metadata.get("view", [])) if table else ""
    if not views:
        return not_known()
    return partly(f"Views of the evaluated films: {views}. Devices and exposure: not known.")


def numbers(run: RunFiles) -> Answer:
    """Return how many films and patients were evaluated.

    Args:
        run: what the run directory holds.
    """
    summary = summary_of(run)
    if not summary.get("n"):
        return not_known()
    people = f" of {summary['patients']} patients" if summary.get("patients") else ""
    if films_without_patient(run):
        people = ", of how many patients is not known"
    return partly(f"Evaluated: {summary['n']} films{people}. Excluded before: not known.")
