# SPDX-License-Identifier: Apache-2.0
"""What the page says, section by section, from what the run directory holds.

Each function takes the run and the baseline's run or None, and returns plain values for the
template, or None where the files do not say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai_kd.report.run_files import RunFiles
from monai_kd.report.sections import detection, discrimination, evidence, headline, making, places
from monai_kd.report.sections.checklist import checklist
from monai_kd.report.sections.evolution import evolution
from monai_kd.report.sections.pseudo_labels import pseudo_labels

__all__ = ["SECTIONS"]

SECTIONS: dict[str, Callable[[RunFiles, RunFiles | None], Any]] = {
    "title": headline.title,
    "headline": headline.headline,
    "external": headline.external,
    "evolution": evolution,
    "findings": discrimination.findings,
    "roc": discrimination.roc,
    "precision_recall": discrimination.precision_recall,
    "confusion": discrimination.confusion,
    "mistakes": discrimination.mistakes,
    "operating_points": evidence.operating_points,
    "calibration": evidence.calibration,
    "subgroups": evidence.subgroups,
    "localization": places.localization,
    "box_points": detection.box_points,
    "boxes": detection.boxes,
    "regions": places.regions,
    "worst": places.worst,
    "pseudo_labels": pseudo_labels,
    "teacher": making.teacher,
    "curves": making.curves,
    "data": making.data,
    "hashes": making.hashes,
    "settings": making.settings,
    "versions": making.versions,
    "limits": making.limits,
    "checklist": checklist,
}
"""By what each section of the page is made."""
