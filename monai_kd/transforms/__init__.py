# SPDX-License-Identifier: Apache-2.0
"""What happens to one image and its regions (dictionary transforms only)."""

from monai_kd.transforms.augment import (
    augmentation,
    no_augmentation,
    strong_augmentation,
    weak_augmentation,
)
from monai_kd.transforms.augment_aals import aals_augmentation
from monai_kd.transforms.clahe import RandCLAHEd, equalize_adaptively
from monai_kd.transforms.intensity import (
    RandBrightnessContrastd,
    RandGammad,
    RandIntensityd,
    RandValueShiftd,
)
from monai_kd.transforms.load import LoadRadiographd
from monai_kd.transforms.region_image import REGION_IMAGE_MODES, RegionImaged, keep_region
from monai_kd.transforms.regions import LabelToTensord, RegionsToMaskd, label_to_tensor
from monai_kd.transforms.resize import SquarePadGeometry, SquarePadResized, square_pad_geometry
from monai_kd.transforms.sharpness import RandBlurd, RandMotionBlurd, RandSharpend
from monai_kd.transforms.shift_scale_rotate import RandShiftScaleRotated
from monai_kd.transforms.views import RandViewsd, views_to_float
from monai_kd.transforms.views_later import render_views

__all__ = [
    "REGION_IMAGE_MODES",
    "LabelToTensord",
    "LoadRadiographd",
    "RandBlurd",
    "RandBrightnessContrastd",
    "RandCLAHEd",
    "RandGammad",
    "RandIntensityd",
    "RandMotionBlurd",
    "RandSharpend",
    "RandShiftScaleRotated",
    "RandValueShiftd",
    "RandViewsd",
    "RegionImaged",
    "RegionsToMaskd",
    "SquarePadGeometry",
    "SquarePadResized",
    "aals_augmentation",
    "augmentation",
    "equalize_adaptively",
    "keep_region",
    "label_to_tensor",
    "no_augmentation",
    "render_views",
    "square_pad_geometry",
    "strong_augmentation",
    "views_to_float",
    "weak_augmentation",
]
