# SPDX-License-Identifier: Apache-2.0
"""How good, with how much certainty."""

from monai_kd.metrics.classification import classification_summary
from monai_kd.metrics.curves import curves_png, draw_curves, read_metrics
from monai_kd.metrics.delong import (
    Interval,
    auroc_and_influence,
    auroc_difference,
    auroc_interval,
)

__all__ = [
    "Interval",
    "auroc_and_influence",
    "auroc_difference",
    "auroc_interval",
    "classification_summary",
    "curves_png",
    "draw_curves",
    "read_metrics",
]
