# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page from a run, its model card, and a checklist for the paper."""

from monai_kd.report.claim import ClaimItem, claim_checklist, write_claim_checklist
from monai_kd.report.compare import compare_runs, compare_seeds
from monai_kd.report.curve_plots import (
    froc_png,
    precision_recall_png,
    reliability_png,
    roc_png,
)
from monai_kd.report.gains import Comparison, Gain
from monai_kd.report.model_card import write_model_card
from monai_kd.report.over_seeds import SeedsScore, SeedsTable, summarize_seeds
from monai_kd.report.page import build_page
from monai_kd.report.paired import compare_predictions
from monai_kd.report.plots import confusion_png
from monai_kd.report.run_files import RunFiles, read_run
from monai_kd.report.side_by_side import side_by_side_png, write_side_by_side

__all__ = [
    "ClaimItem",
    "Comparison",
    "Gain",
    "RunFiles",
    "SeedsScore",
    "SeedsTable",
    "build_page",
    "claim_checklist",
    "compare_predictions",
    "compare_runs",
    "compare_seeds",
    "confusion_png",
    "froc_png",
    "precision_recall_png",
    "read_run",
    "reliability_png",
    "roc_png",
    "side_by_side_png",
    "summarize_seeds",
    "write_claim_checklist",
    "write_model_card",
    "write_side_by_side",
]
