# SPDX-License-Identifier: Apache-2.0
"""What is minimised: tensors in, a scalar out."""

from monai_kd.losses.classification import ClassificationLoss
from monai_kd.losses.hkd import HKDLoss, feature_weight_at
from monai_kd.losses.region_guidance import RegionGuidanceLoss
from monai_kd.losses.soft_target import SoftTargetLoss

__all__ = [
    "ClassificationLoss",
    "HKDLoss",
    "RegionGuidanceLoss",
    "SoftTargetLoss",
    "feature_weight_at",
]
