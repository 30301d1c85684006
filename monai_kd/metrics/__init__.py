# SPDX-License-Identifier: Apache-2.0
"""How good, with how much certainty."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from monai_kd.metrics.bootstrap_auroc import bootstrap_auroc, bootstrap_auroc_difference
from monai_kd.metrics.calibration import brier_score, calibration_summary, reliability_curve
from monai_kd.metrics.calibration_error import expected_calibration_error
from monai_kd.metrics.classification import classification_summary
from monai_kd.metrics.coco import average_precision
from monai_kd.metrics.coco_results import coco_results
from monai_kd.metrics.collapse import (
    distribution_entropy,
    effective_rank,
    effective_temperature,
    mean_similarity,
    mutual_information,
)
from monai_kd.metrics.curves import curves_png, draw_curves, read_metrics
from monai_kd.metrics.decision_regions import RegionAgreement, decision_region_summary
from monai_kd.metrics.delong import auroc_and_influence, auroc_difference, auroc_interval
from monai_kd.metrics.detection_thresholds import (
    DetectionThresholds,
    choose_detection_thresholds,
)
from monai_kd.metrics.froc import FROC_RATES, FrocCurve, froc_curve, recall_at
from monai_kd.metrics.froc_score import froc_difference, froc_score
from monai_kd.metrics.health_curves import draw_health, read_health
from monai_kd.metrics.interval import Difference, Interval, json_limits, json_number
from monai_kd.metrics.label_order import LabelOrder, best_label_order, label_hints
from monai_kd.metrics.matching import (
    FALSE_POSITIVE,
    REPEATED_HIT,
    Candidates,
    match_candidates,
)
from monai_kd.metrics.operating_points import (
    GOALS,
    choose_threshold,
    operating_point,
    operating_points,
)
from monai_kd.metrics.overlap import MATCHING_RULES
from monai_kd.metrics.predictions import (
    METADATA,
    Predictions,
    match_predictions,
    read_predictions,
)
from monai_kd.metrics.predictive_values import predictive_values
from monai_kd.metrics.proportion import proportion_interval
from monai_kd.metrics.score_intervals import score_difference, score_drop, score_interval
from monai_kd.metrics.scores import SCORES, Score, auprc_and_influence
from monai_kd.metrics.seeds import (
    SeedsDifference,
    SeedsSummary,
    seeds_difference,
    seeds_summary,
)
from monai_kd.metrics.subgroups import subgroup_masks, subgroup_table
from monai_kd.metrics.temperature import apply_temperature, fit_temperature
from monai_kd.metrics.wafroc import jafroc, wafroc, wafroc_difference

if TYPE_CHECKING:
    from monai_kd.metrics.candidates import candidate_boxes, find_candidates, fixed_boxes
    from monai_kd.metrics.cumulative import AUROCMetric, ScoreMetric
    from monai_kd.metrics.knn import knn_scores
    from monai_kd.metrics.top_candidates import top_candidates

__all__ = [
    "FALSE_POSITIVE",
    "FROC_RATES",
    "GOALS",
    "MATCHING_RULES",
    "METADATA",
    "REPEATED_HIT",
    "SCORES",
    "AUROCMetric",
    "Candidates",
    "DetectionThresholds",
    "Difference",
    "FrocCurve",
    "Interval",
    "LabelOrder",
    "Predictions",
    "RegionAgreement",
    "Score",
    "ScoreMetric",
    "SeedsDifference",
    "SeedsSummary",
    "apply_temperature",
    "auprc_and_influence",
    "auroc_and_influence",
    "auroc_difference",
    "auroc_interval",
    "average_precision",
    "best_label_order",
    "bootstrap_auroc",
    "bootstrap_auroc_difference",
    "brier_score",
    "calibration_summary",
    "candidate_boxes",
    "choose_detection_thresholds",
    "choose_threshold",
    "classification_summary",
    "coco_results",
    "curves_png",
    "decision_region_summary",
    "distribution_entropy",
    "draw_curves",
    "draw_health",
    "effective_rank",
    "effective_temperature",
    "expected_calibration_error",
    "find_candidates",
    "fit_temperature",
    "fixed_boxes",
    "froc_curve",
    "froc_difference",
    "froc_score",
    "jafroc",
    "json_limits",
    "json_number",
    "knn_scores",
    "label_hints",
    "match_candidates",
    "match_predictions",
    "mean_similarity",
    "mutual_information",
    "operating_point",
    "operating_points",
    "predictive_values",
    "proportion_interval",
    "read_health",
    "read_metrics",
    "read_predictions",
    "recall_at",
    "reliability_curve",
    "score_difference",
    "score_drop",
    "score_interval",
    "seeds_difference",
    "seeds_summary",
    "subgroup_masks",
    "subgroup_table",
    "top_candidates",
    "wafroc",
    "wafroc_difference",
]

# Imported when first asked for: these need torch and MONAI.
_LATE = {
    "candidate_boxes": "candidates",
    "find_candidates": "candidates",
    "fixed_boxes": "candidates",
    "AUROCMetric": "cumulative",
    "ScoreMetric": "cumulative",
    "knn_scores": "knn",
    "top_candidates": "top_candidates",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value
