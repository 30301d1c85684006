# SPDX-License-Identifier: Apache-2.0
"""One stage after the other with one trainer: begin anew, train, keep, write, ask."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import set_determinism
from torch import nn

from monai_kd.data import ArrivalSampler
from monai_kd.engines.methods import Method
from monai_kd.engines.stage import Stage
from monai_kd.engines.trainer import DistillationTrainer
from monai_kd.networks import DISTLNetwork, EMATeacher
from monai_kd.utils import MonaiKDError, check_choice, save_model, write_atomically
from monai_kd.utils.distributed import (
    done_by_main_process,
    is_main_process,
    process_rank,
    wait_for_all,
)

__all__ = ["StagePlan", "StageRunner"]

_log = logging.getLogger(__name__)
_KEPT_SCORE = "val_macro_auroc"


@dataclass(frozen=True)
class StagePlan:
    """What is trained, for how long, on which films.

    Args:
        name: ``"start"``, ``"initial"``, ``"round_1"`` and so on; also its phase in
            ``metrics.csv``.
        order: number of the stage in the run, from 0; another one draws other views.
        method: how it is trained.
        arrivals: rounds whose films are seen, 0 for the labeled ones.
        epochs: at least 1.
        learning_rate: peak.
        films: films of an epoch, 0 for each once.
        correction_every: optimizer steps between two correction passes; 0: none; None: a quarter
            of an epoch.
    """

    name: str
    order: int
    method: Method
    arrivals: Collection[int]
    epochs: int
    learning_rate: float
    films: int = 0
    correction_every: int | None = None


class StageRunner:
    """Train stages with one trainer, one optimizer and one pair of networks.

    Args:
        trainer: of a step; its loader's sampler is an :class:`~monai_kd.data.ArrivalSampler`, its
            objective a :class:`~monai_kd.engines.ChosenLoss`.
        correction: handler of the trainer that runs the labeled films in between, see
            :class:`monai_kd.handlers.CorrectionPass`.
        teacher: moving average of the trainer's network.
        stage: the schedules, asked by the trainer's handlers.
        evaluator: asks its ``network`` about the validation films.
        predictions_csv: the evaluator's handler that writes what it was told to ``path``.
        validator: engine whose metrics choose the epoch when ``keep`` is ``"best"``.
        record: handler that writes ``metrics.csv``.
        checkpoint: handler that saves each epoch.
        monitor: handler that watches the health; None for none.
        keep: ``"last"``, the last epoch of a stage as published, or ``"best"``, that with the
            highest validation AUROC.
        seed: of everything random.

    Raises:
        ValueError: if ``keep`` is another word.
    """

    def __init__(
        self,
        *,
        trainer: DistillationTrainer,
        correction: Any,
        teacher: EMATeacher,
        stage: Stage,
        evaluator: Engine,
        predictions_csv: Any,
        validator: Engine,
        record: Any,
        checkpoint: Any,
        monitor: Any = None,
        keep: str = "last",
        seed: int = 0,
    ) -> None:
        check_choice("StageRunner", "keep", keep, ("last", "best"))
        self.trainer, self.correction = trainer, correction
        self.teacher, self.stage = teacher, stage
        self.evaluator, self.predictions_csv, self.validator = evaluator, predictions_csv, validator
        self.record, self.checkpoint, self.monitor = record, checkpoint, monitor
        self.keep, self.seed = keep, seed
        self._loader: Any = trainer.data_loader
        self._prepare_batch: Any = trainer.prepare_batch
        self._objective: Any = trainer.objective
        self.folder = Path()
        trainer.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        if keep == "best":
            checkpoint.before_saving = self._keep_best

    @property
    def films(self) -> int:
        """How many films the present stage sees."""
        return len(self._sampler.chosen)

    @property
    def student(self) -> DISTLNetwork:
        """The network that learns, without its wrapper for distributed training."""
        plain: Any = self.trainer.network
        network: DISTLNetwork = getattr(plain, "module", plain)
        return network

    def steps_on(self, films: int) -> int:
        """Return how many steps an epoch on so many films has.

        Args:
            films: number of films, those of all processes together.
        """
        batch: int = self._loader.batch_size * self._sampler.world_size
        return math.ceil(films / batch)

    def correction_interval(self, every: int | None, steps_per_epoch: int) -> int:
        """Return the optimizer steps between two correction passes, 0 for none.

        Args:
            every: as it was asked for; None: a quarter of an epoch.
            steps_per_epoch: of the round.
        """
        return max(1, round(steps_per_epoch / 4)) if every is None else every

    def train(self, plan: StagePlan, folder: Path, *, run_dir: Path) -> None:
        """Train one stage from the weights that are in the networks, or go on with it.

        Args:
            plan: what is trained.
            folder: of the stage, gets ``checkpoints/last.pt`` while it lasts.
            run_dir: gets ``metrics.csv`` and ``health.csv``.
        """
        self._begin(plan, folder, run_dir)
        steps = self.trainer.state.epoch_length
        _log.info(
            "%s (%s): %d epochs of %d steps on %d films.",
            plan.name, plan.method.name, plan.epochs, steps, self.films,
        )  # fmt: skip
        self.trainer.run()
        wait_for_all()
        if self.trainer.state.epoch < plan.epochs:
            raise MonaiKDError(
                f"StageRunner: {plan.name} must be trained for {plan.epochs} epochs, got "
                f"{self.trainer.state.epoch}. Go on with `resume` True."
            )
        if self._keeps_best:
            self._load_best()

    def teach_teacher(self) -> None:
        """Make the teacher the student as it is now."""
        self.teacher.update(self.student, 0.0)

    def save(self, folder: Path) -> None:
        """Write what the next stage starts from, and the two networks as models.

        Args:
            folder: of the stage; gets ``hand_over.pt``, ``model.pt`` (the student) and
                ``teacher.pt``.
        """

        def write() -> None:
            _write(self._weights(), folder / "hand_over.pt")
            save_model(self.student.network, folder / "model.pt")
            save_model(self._teacher_network, folder / "teacher.pt")

        done_by_main_process(write)

    def load(self, folder: Path, *, hand_over: str = "each") -> None:
        """Start from a stage that is finished.

        Args:
            folder: of that stage.
            hand_over: ``"each"``: teacher from teacher, student from student; ``"student"`` or
                ``"teacher"``: both from that one.

        Raises:
            MonaiKDError: if the stage's file cannot be read or is of another network.
        """
        state = _read(folder / "hand_over.pt")
        of_student = "student" if hand_over == "each" else hand_over
        of_teacher = "teacher" if hand_over == "each" else hand_over
        try:
            self.student.load_state_dict(state[of_student])
            self.teacher.network.load_state_dict(state[of_teacher])
        except (KeyError, RuntimeError) as error:
            raise MonaiKDError(
                "StageRunner: the earlier stage must be of this network, got another. Go on with "
                "the settings in config.json, or give another `output_dir`."
            ) from error

    def ask(self, which: str, path: Path) -> None:
        """Write what the student or the teacher says of the validation films.

        Args:
            which: ``"student"`` or ``"teacher"``.
            path: CSV file.
        """
        network = self.student.network if which == "student" else self._teacher_network
        path.parent.mkdir(parents=True, exist_ok=True)
        self.predictions_csv.path = path
        self.evaluator.network = network
        self.evaluator.run()

    @property
    def _teacher_network(self) -> nn.Module:
        inner: Any = self.teacher.network
        network: nn.Module = inner.network
        return network

    @property
    def _sampler(self) -> ArrivalSampler:
        sampler: ArrivalSampler = self._loader.sampler
        return sampler

    def _begin(self, plan: StagePlan, folder: Path, run_dir: Path) -> None:
        trainer, method = self.trainer, plan.method
        self.folder = folder
        set_determinism(seed=self.seed + 1000 * (plan.order + 1) + process_rank())
        trainer.optimizer.state.clear()
        trainer.optimizer.zero_grad(set_to_none=True)  # a gradient of 0 would let AdamW decay
        self._sampler.choose(plan.arrivals, films=plan.films, stream=plan.order + 1)
        loader = self._loader
        _leave_out_a_single_film(loader)
        self._objective.choose(method.loss)
        self._prepare_batch.label_key = method.label_key
        self._correct(plan, len(loader))
        for loss in (method.loss, method.correction):
            centre = getattr(loss, "self_supervision", None)
            if centre is not None:
                centre.reset()
        self.stage.begin(
            plan.name,
            method=method,
            epochs=plan.epochs,
            steps_per_epoch=len(loader),
            learning_rate=plan.learning_rate,
        )
        self.record.folder, self.record.phase = run_dir, plan.name
        self.checkpoint.path = folder / "checkpoints" / "last.pt"
        if self.monitor is not None:
            self.monitor.folder, self.monitor.phase = run_dir, plan.name
            self.monitor.reset()
        state = trainer.state
        vars(state).pop("correction_loss", None)  # of another stage
        state.iteration, state.epoch = 0, 0
        state.max_epochs, state.epoch_length = plan.epochs, len(loader)
        for engine in (trainer, self.correction.trainer):  # of a stage that was stopped by an error
            engine.should_terminate = False
            engine._internal_run_generator = engine._dataloader_iter = None

    def _correct(self, plan: StagePlan, steps_per_epoch: int) -> None:
        method, correction = plan.method, self.correction
        correction.reset()
        if method.correction is None:
            correction.every = 0
            return
        correction.trainer.objective.choose(method.correction)
        correction.trainer.data_loader.sampler.choose((0,), stream=100 + plan.order)
        _leave_out_a_single_film(correction.trainer.data_loader)
        if method.corrected_each_step:
            correction.every, correction.batches = 1, 1
            return
        correction.every = self.correction_interval(plan.correction_every, steps_per_epoch)
        correction.batches = 0  # all labeled films

    def _begin_epoch(self, engine: Engine) -> None:
        """Tell the stage its epoch; draw no local views in epochs that need none."""
        self.stage.epoch = engine.state.epoch
        corrections = self.correction.trainer.objective if self.correction.every else None
        wanted = any(
            objective is not None and objective.needs_projection
            for objective in (self._objective, corrections)
        )
        augment = getattr(engine.data_loader.dataset, "augment", None)
        for part in getattr(augment, "transforms", [augment]):
            if hasattr(part, "with_local"):
                part.with_local = wanted

    def _keep_best(self, engine: Engine) -> None:
        value = self.validator.state.metrics.get(_KEPT_SCORE)
        path = self.folder / "best.pt"
        usable = value is not None and not math.isnan(value) and self._keeps_best
        if not usable or not is_main_process():
            return
        best = _read(path) if path.exists() and engine.state.epoch > 1 else None
        if best is None or value > best["value"]:
            _write({**self._weights(), "value": float(value)}, path)

    @property
    def _keeps_best(self) -> bool:
        """Labels choose no epoch of a stage that has no labels."""
        method = self.stage.method
        return self.keep == "best" and method is not None and method.name != "start"

    def _load_best(self) -> None:
        path = self.folder / "best.pt"
        if not path.exists():
            return
        best = _read(path)
        self.student.load_state_dict(best["student"])
        self.teacher.network.load_state_dict(best["teacher"])
        _log.info("Best epoch of the stage: %s %.4f.", _KEPT_SCORE, best["value"])

    def _weights(self) -> dict[str, Any]:
        networks = {"student": self.student, "teacher": self.teacher.network}
        return {
            name: {key: tensor.detach().cpu() for key, tensor in network.state_dict().items()}
            for name, network in networks.items()
        }


def _leave_out_a_single_film(loader: Any) -> None:
    """Drop the last batch of an epoch if it is one film: that has no batch statistics."""
    length = len(loader.sampler)
    loader.batch_sampler.drop_last = length > 1 and length % loader.batch_size == 1


def _write(state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    try:
        write_atomically(path, lambda file: torch.save(state, file))
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise MonaiKDError(
            f"StageRunner: the finished stage could not be written ({type(error).__name__}: disk "
            "full or not writable?). Its last epoch is saved. Make room, then go on with `resume` "
            "True."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise MonaiKDError(
            f"StageRunner: {path.parent.name}/{path.name} in `output_dir` cannot be read "
            f"({type(error).__name__}). Delete the folder {path.parent.name} there to train that "
            "stage again, or give another `output_dir`."
        ) from error
    return state
