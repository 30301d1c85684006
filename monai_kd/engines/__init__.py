# SPDX-License-Identifier: Apache-2.0
"""Who asks whom in one iteration."""

from monai_kd.engines.candidate_network import CandidateNetwork
from monai_kd.engines.chosen_loss import ChosenLoss
from monai_kd.engines.delivered import load_model, run_with_model
from monai_kd.engines.evolution import RoundSettings, SelfEvolution
from monai_kd.engines.export import ExportedModel, export_model
from monai_kd.engines.first_stage import check_first_stage, start_from_first_stage
from monai_kd.engines.gate import GateDecision, judge_round
from monai_kd.engines.inferer import PrecisionInferer
from monai_kd.engines.leakage import check_region_leakage, shuffle_regions_within_class
from monai_kd.engines.maps_prepare_batch import MapsPrepareBatch
from monai_kd.engines.methods import METHODS, Method, make_methods, method_names
from monai_kd.engines.optimizer import make_adamw
from monai_kd.engines.prepare_batch import TeacherPrepareBatch, prefixed
from monai_kd.engines.rounds_evidence import evaluate_rounds
from monai_kd.engines.stage import Stage
from monai_kd.engines.stage_runner import StagePlan, StageRunner
from monai_kd.engines.teacher_stage import prepare_teacher
from monai_kd.engines.trainer import DistillationTrainer
from monai_kd.engines.views_prepare_batch import ViewsPrepareBatch

__all__ = [
    "METHODS",
    "CandidateNetwork",
    "ChosenLoss",
    "DistillationTrainer",
    "ExportedModel",
    "GateDecision",
    "MapsPrepareBatch",
    "Method",
    "PrecisionInferer",
    "RoundSettings",
    "SelfEvolution",
    "Stage",
    "StagePlan",
    "StageRunner",
    "TeacherPrepareBatch",
    "ViewsPrepareBatch",
    "check_first_stage",
    "check_region_leakage",
    "evaluate_rounds",
    "export_model",
    "judge_round",
    "load_model",
    "make_adamw",
    "make_methods",
    "method_names",
    "prefixed",
    "prepare_teacher",
    "run_with_model",
    "shuffle_regions_within_class",
    "start_from_first_stage",
]
