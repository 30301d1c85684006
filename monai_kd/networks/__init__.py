# SPDX-License-Identifier: Apache-2.0
"""Teachers, backbones, and how their weights are loaded."""

from monai_kd.networks.aals import AALSNetwork, MapMemory, WithMaps, build_aals_network
from monai_kd.networks.backbones import BACKBONES, build_backbone, check_view_sizes
from monai_kd.networks.base import Backbone
from monai_kd.networks.convnext import ConvNeXt
from monai_kd.networks.densenet import DenseNetBackbone
from monai_kd.networks.dino_head import DINOHead
from monai_kd.networks.distl import DISTLNetwork
from monai_kd.networks.efficientnet import EfficientNetBackbone
from monai_kd.networks.features import WithFeatures
from monai_kd.networks.resnet import ResNetBackbone
from monai_kd.networks.teacher import EMATeacher, FrozenTeacher
from monai_kd.networks.teacher_cache import TeacherFeatureCache
from monai_kd.networks.vit import ViT
from monai_kd.networks.weights import (
    GREY_MEAN,
    GREY_SD,
    LoadReport,
    load_pretrained,
    sha256_of_weights,
)

__all__ = [
    "BACKBONES",
    "GREY_MEAN",
    "GREY_SD",
    "AALSNetwork",
    "Backbone",
    "ConvNeXt",
    "DINOHead",
    "DISTLNetwork",
    "DenseNetBackbone",
    "EMATeacher",
    "EfficientNetBackbone",
    "FrozenTeacher",
    "LoadReport",
    "MapMemory",
    "ResNetBackbone",
    "TeacherFeatureCache",
    "ViT",
    "WithFeatures",
    "WithMaps",
    "build_aals_network",
    "build_backbone",
    "check_view_sizes",
    "load_pretrained",
    "sha256_of_weights",
]
