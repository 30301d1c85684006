# SPDX-License-Identifier: Apache-2.0
"""Why: class-activation maps, and how much of them lies where an expert drew."""

from monai_kd.explain.cam import FeatureClassifier, grad_cam, mass_inside, pointing_game
from monai_kd.explain.overlay import HEAT_COLORS, heat_colors, overlay

__all__ = [
    "HEAT_COLORS",
    "FeatureClassifier",
    "grad_cam",
    "heat_colors",
    "mass_inside",
    "overlay",
    "pointing_game",
]
