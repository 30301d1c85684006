# SPDX-License-Identifier: Apache-2.0
"""Why: maps of CNNs and transformers, and how much of them lies where an expert drew."""

from monai_kd.explain.agreement import (
    OVERLAP_THRESHOLDS,
    best_threshold_iou,
    mass_inside,
    overlap_at_thresholds,
    pointing_game,
)
from monai_kd.explain.attention import (
    AttentionClassifier,
    attention_maps,
    attention_relevance,
    attention_rollout,
)
from monai_kd.explain.cam import FeatureClassifier, grad_cam, grad_cam_plus_plus
from monai_kd.explain.control import with_random_weights
from monai_kd.explain.detection_map import MapClassifier, detection_map
from monai_kd.explain.methods import EXPLAIN_METHODS, choose_method, explain
from monai_kd.explain.overlay import HEAT_COLORS, heat_colors, overlay

__all__ = [
    "EXPLAIN_METHODS",
    "HEAT_COLORS",
    "OVERLAP_THRESHOLDS",
    "AttentionClassifier",
    "FeatureClassifier",
    "MapClassifier",
    "attention_maps",
    "attention_relevance",
    "attention_rollout",
    "best_threshold_iou",
    "choose_method",
    "detection_map",
    "explain",
    "grad_cam",
    "grad_cam_plus_plus",
    "heat_colors",
    "mass_inside",
    "overlap_at_thresholds",
    "overlay",
    "pointing_game",
    "with_random_weights",
]
