# SPDX-License-Identifier: Apache-2.0
"""Who asks whom in one iteration."""

from monai_kd.engines.delivered import load_model, run_with_model
from monai_kd.engines.export import ExportedModel, export_model
from monai_kd.engines.inferer import PrecisionInferer
from monai_kd.engines.leakage import check_region_leakage, shuffle_regions_within_class
from monai_kd.engines.prepare_batch import TeacherPrepareBatch, prefixed
from monai_kd.engines.teacher_stage import prepare_teacher
from monai_kd.engines.trainer import DistillationTrainer

__all__ = [
    "DistillationTrainer",
    "ExportedModel",
    "PrecisionInferer",
    "TeacherPrepareBatch",
    "check_region_leakage",
    "export_model",
    "load_model",
    "prefixed",
    "prepare_teacher",
    "run_with_model",
    "shuffle_regions_within_class",
]
