# SPDX-License-Identifier: Apache-2.0
"""Who asks whom in one iteration."""

from monai_kd.engines.inferer import PrecisionInferer
from monai_kd.engines.prepare_batch import TeacherPrepareBatch, prefixed
from monai_kd.engines.trainer import DistillationTrainer

__all__ = ["DistillationTrainer", "PrecisionInferer", "TeacherPrepareBatch", "prefixed"]
