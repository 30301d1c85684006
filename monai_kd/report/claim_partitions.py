# SPDX-License-Identifier: Apache-2.0
"""What a run can answer of the checklist on the reference standard and the data partitions."""

from __future__ import annotations

from monai_kd.report.caveats import films_without_patient
from monai_kd.report.claim_answer import Answer, known, not_known, partly
from monai_kd.report.run_files import RunFiles

__all__ = ["disjoint", "partitions", "test_labels", "truth"]


def truth(run: RunFiles) -> Answer:
    """Return in which form the truth came.

    Args:
        run: what the run directory holds.
    """
    rows = run.config.get("data") or {}
    if not rows:
        return not_known()
    if run.config.get("synthetic"):
        return known("The program that drew the film knows what it drew, and where.")
    drawn = any(row.get("regions") for row in rows.values())
    form = "and regions drawn on a part of them" if drawn else "without regions"
    return partly(f"Labels of whole images, {form}. How the labels were found: not known.")


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
    rows = run.config.get("data") or {}
    if not rows:
        return not_known()
    what = "images" if films_without_patient(run) else "patients"
    dealt = ", ".join(f"{name} {row[what]}" for name, row in rows.items())
    name = "Films" if what == "images" else "Patients"
    return partly(f"{name}: {dealt}. By whom or by which rule they were dealt: not known.")


def disjoint(run: RunFiles) -> Answer:
    """Return that patients are in one section only, which training checks where it can.

    Args:
        run: what the run directory holds.
    """
    rows, alone = (run.config.get("data") or {}), films_without_patient(run)
    if not rows:
        return not_known()
    films = sum(row["images"] for row in rows.values())
    if alone:
        return partly(
            f"Film: {alone} of {films} films have no patient, so a patient may be in two sections. "
            "The very same picture is in one section only."
        )
    return known(
        "Patient. Training refuses a datalist in which a patient, or the very same picture, is in "
        "two sections."
    )
