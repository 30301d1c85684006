# SPDX-License-Identifier: Apache-2.0
"""A run that dies loses at most the epoch it was in, and resumes to the same result."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
from ignite.engine import Engine, Events

from monai_kd.utils import MonaiKDError, write_atomically
from monai_kd.utils.distributed import gather_objects, is_main_process, process_rank
from monai_kd.utils.rng import random_state, restore_random_state

__all__ = ["RunCheckpoint", "refuse_existing_run"]

_log = logging.getLogger(__name__)


class _HasState(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> object: ...


class RunCheckpoint:
    """Save everything that resuming needs after each epoch, and go on from it.

    Saved are the parts that are named (student, teacher, optimizer, loss, best metric), the
    gradient scaler, the counts, and the state of every random number generator of every process.
    The file is replaced in one step; it loads with ``weights_only=True`` and holds no name of any
    film or patient.

    Args:
        parts: objects with ``state_dict`` and ``load_state_dict``, by name.
        folder: gets ``checkpoints/last.pt``.
        resume: go on from the checkpoint if there is one. When False and there is one, the run
            refuses to start, so that nothing that was computed is lost.

    Attributes:
        before_saving: called with the engine first; what it writes is there when the checkpoint
            says that the epoch is over.
    """

    def __init__(
        self,
        parts: Mapping[str, _HasState],
        *,
        folder: str | os.PathLike[str],
        resume: bool = False,
    ) -> None:
        self.parts = dict(parts)
        self.path = Path(folder) / "checkpoints" / "last.pt"
        self.resume = resume
        self.before_saving: Callable[[Engine], None] | None = None

    def attach(self, engine: Engine) -> None:
        """Load at the start, save after each epoch; attach last, so that all else is done.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the run as it is now.

        Args:
            engine: the trainer.

        Raises:
            MonaiKDError: if a weight is not a finite number, or the disk does not take it; the
                previous checkpoint stays.
        """
        if self.before_saving is not None:
            self.before_saving(engine)
        random_states = gather_objects(random_state())
        if not is_main_process():
            return
        scaler = getattr(engine, "scaler", None)
        state = {
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "scaler": {} if scaler is None else scaler.state_dict(),
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "random": random_states,
        }
        if not _all_finite(state["parts"]):
            raise MonaiKDError(
                "Training stopped: weights are not finite numbers after epoch "
                f"{engine.state.epoch}. The checkpoint of epoch {engine.state.epoch - 1} is "
                "untouched. Lower `learning_rate` or set `precision` to float32, then go on with "
                "`resume` True."
            )
        try:
            write_atomically(self.path, lambda file: torch.save(state, file))
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise MonaiKDError(
                f"The checkpoint of epoch {engine.state.epoch} could not be written "
                f"({type(error).__name__}: disk full or not writable?). The one before is whole. "
                "Make room, then go on with `resume` true."
            ) from error

    def load(self, engine: Engine) -> None:
        """Bring every part back to the last epoch that was saved.

        Args:
            engine: the trainer; its counts are set.

        Raises:
            MonaiKDError: if a checkpoint is there and ``resume`` is False, if it does not fit the
                networks of this run, or if it cannot be read.
        """
        if not self.path.exists():
            return
        if not self.resume:
            _refuse()
        state = self._read(engine)
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state["parts"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise MonaiKDError(
                "RunCheckpoint: the checkpoint in `output_dir` was written with other settings "
                "(another backbone, number of findings, or optimizer). Resume with the same "
                "settings, or give another `output_dir`."
            ) from error
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        engine.state.epoch = state["epoch"]
        length = engine.state.epoch_length  # another batch size or number of processes changes it
        engine.state.iteration = state["iteration"] if length is None else state["epoch"] * length
        if process_rank() < len(state["random"]):
            restore_random_state(state["random"][process_rank()])
        _log.info("Resuming after epoch %d of %s.", state["epoch"], engine.state.max_epochs)

    def _read(self, engine: Engine) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise MonaiKDError(
                "RunCheckpoint: the checkpoint in `output_dir` cannot be read "
                f"({type(error).__name__}). Give another `output_dir`, or delete `checkpoints/` "
                "there to start again."
            ) from error
        return state


def _all_finite(value: Any) -> bool:
    """Return whether every floating tensor in a nest of dictionaries and lists is finite."""
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, Mapping):
        return all(_all_finite(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(_all_finite(part) for part in value)
    return True


def refuse_existing_run(folder: str | os.PathLike[str], *, resume: bool) -> None:
    """Stop before anything is written into a directory that holds another run.

    Args:
        folder: the run directory.
        resume: whether going on with what is there is what the user wants.

    Raises:
        MonaiKDError: if a stage has a checkpoint or is finished, and ``resume`` is False.
    """
    run = Path(folder)  # of a run in several stages, each stage has a checkpoint or is finished
    marks = ("checkpoints/last.pt", "*/checkpoints/last.pt", "*/finished.json")
    if not resume and any(any(run.glob(mark)) for mark in marks):
        _refuse()


def _refuse() -> NoReturn:
    raise MonaiKDError(
        "RunCheckpoint: `output_dir` already holds a run. Set `resume` to True to go on with "
        "it, or give another `output_dir`."
    )
