# SPDX-License-Identifier: Apache-2.0
"""What is minimised: tensors in, a scalar out."""

from monai_kd.losses.aals import SHARPENINGS, AALSLoss, sharpen_labels
from monai_kd.losses.classification import ClassificationLoss
from monai_kd.losses.consistency import ConsistencyLoss
from monai_kd.losses.dino import DINOLoss, dino_loss
from monai_kd.losses.distl import DISTLCorrectionLoss, DISTLLoss, alpha_at
from monai_kd.losses.hkd import HKDLoss, feature_weight_at
from monai_kd.losses.map_roles import MapRoles, map_roles, region_targets
from monai_kd.losses.region_guidance import RegionGuidanceLoss
from monai_kd.losses.soft_target import SoftTargetLoss

__all__ = [
    "SHARPENINGS",
    "AALSLoss",
    "ClassificationLoss",
    "ConsistencyLoss",
    "DINOLoss",
    "DISTLCorrectionLoss",
    "DISTLLoss",
    "HKDLoss",
    "MapRoles",
    "RegionGuidanceLoss",
    "SoftTargetLoss",
    "alpha_at",
    "dino_loss",
    "feature_weight_at",
    "map_roles",
    "region_targets",
    "sharpen_labels",
]
