# SPDX-License-Identifier: Apache-2.0
"""What happens between iterations, one thing on one event each."""

from monai_kd.handlers.classification_metrics import ClassificationMetrics, EvaluationJSON
from monai_kd.handlers.clip_gradients import ClipGradients, clip_each_tensor
from monai_kd.handlers.correction_pass import CorrectionPass
from monai_kd.handlers.decision_regions import DecisionRegions
from monai_kd.handlers.detection_metrics import DetectionMetrics
from monai_kd.handlers.ema_teacher import EMATeacherHandler
from monai_kd.handlers.evidence import Evidence
from monai_kd.handlers.external_test import ExternalTest
from monai_kd.handlers.freeze_last_layer import FreezeLastLayer
from monai_kd.handlers.health_monitor import HealthMonitor
from monai_kd.handlers.heat_maps import HeatMaps
from monai_kd.handlers.keep_best import KeepBest
from monai_kd.handlers.knn_probe import KNNProbe, pooled_features
from monai_kd.handlers.localization import Localization, lesion_boxes
from monai_kd.handlers.localization_tables import (
    FilmCandidates,
    localization_summary,
    match_films,
    write_localization,
)
from monai_kd.handlers.pictures import large_overlay, save_png
from monai_kd.handlers.predictions import CollectPredictions, PredictionsCSV, probabilities
from monai_kd.handlers.progress import TerminalProgress
from monai_kd.handlers.pseudo_label_health import PseudoLabelHealth
from monai_kd.handlers.record_metrics import RecordMetrics
from monai_kd.handlers.run_checkpoint import RunCheckpoint, refuse_existing_run
from monai_kd.handlers.schedule import ScheduleHandler, set_attribute, set_learning_rate
from monai_kd.handlers.stepping import ends_in_optimizer_step, optimizer_steps_before
from monai_kd.handlers.stop_on_nan import StopOnNaN
from monai_kd.handlers.worst_cases import WorstCases, film_losses
from monai_kd.handlers.write_detections import WriteDetections

__all__ = [
    "ClassificationMetrics",
    "ClipGradients",
    "CollectPredictions",
    "CorrectionPass",
    "DecisionRegions",
    "DetectionMetrics",
    "EMATeacherHandler",
    "EvaluationJSON",
    "Evidence",
    "ExternalTest",
    "FilmCandidates",
    "FreezeLastLayer",
    "HealthMonitor",
    "HeatMaps",
    "KNNProbe",
    "KeepBest",
    "Localization",
    "PredictionsCSV",
    "PseudoLabelHealth",
    "RecordMetrics",
    "RunCheckpoint",
    "ScheduleHandler",
    "StopOnNaN",
    "TerminalProgress",
    "WorstCases",
    "WriteDetections",
    "clip_each_tensor",
    "ends_in_optimizer_step",
    "film_losses",
    "large_overlay",
    "lesion_boxes",
    "localization_summary",
    "match_films",
    "optimizer_steps_before",
    "pooled_features",
    "probabilities",
    "refuse_existing_run",
    "save_png",
    "set_attribute",
    "set_learning_rate",
    "write_localization",
]
