# SPDX-License-Identifier: Apache-2.0
"""How good, with how much certainty."""

from monai_kd.metrics.classification import classification_summary
from monai_kd.metrics.curves import curves_png, draw_curves, read_metrics
from monai_kd.metrics.delong import auroc_and_influence, auroc_difference, auroc_interval
from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.predictions import (
    METADATA,
    Predictions,
    match_predictions,
    read_predictions,
)

__all__ = [
    "METADATA",
    "Difference",
    "Interval",
    "Predictions",
    "auroc_and_influence",
    "auroc_difference",
    "auroc_interval",
    "classification_summary",
    "curves_png",
    "draw_curves",
    "match_predictions",
    "read_metrics",
    "read_predictions",
]
