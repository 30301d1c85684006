# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page from a run."""

from monai_kd.report.page import build_page
from monai_kd.report.plots import RegionCase, confusion_png, decision_regions_png, roc_png
from monai_kd.report.side_by_side import side_by_side_png, write_side_by_side

__all__ = [
    "RegionCase",
    "build_page",
    "confusion_png",
    "decision_regions_png",
    "roc_png",
    "side_by_side_png",
    "write_side_by_side",
]
