# SPDX-License-Identifier: Apache-2.0
"""The teacher comes first: train it, or take one that is finished, then freeze it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from monai.engines import SupervisedTrainer
from torch import nn

from monai_kd.engines.delivered import load_model
from monai_kd.utils.distributed import wait_for_all

__all__ = ["finish_stage", "prepare_teacher"]

_log = logging.getLogger(__name__)


def prepare_teacher(
    trainer: SupervisedTrainer,
    *,
    folder: str | os.PathLike[str],
    path: str = "",
) -> None:
    """Leave the best teacher in ``trainer.network``, or in what that wraps, frozen.

    With a ``path`` nothing is trained. Otherwise the trainer runs (a finished one that is resumed
    has nothing left to do) and its best epoch is loaded.

    Args:
        trainer: trains the teacher; its ``KeepBest`` handler writes ``model.pt`` into ``folder``.
        folder: run directory of the teacher.
        path: a finished teacher, a flat state dict; empty for none.

    Raises:
        MonaiKDError: if a file is missing or does not fit.
    """
    network = getattr(trainer.network, "module", trainer.network)  # without its DDP wrapper
    network.requires_grad_(True)  # the student's trainer may have been built, and frozen it
    finish_stage(trainer, network=network, folder=folder, path=path)
    network.requires_grad_(False).eval()


def finish_stage(
    trainer: SupervisedTrainer,
    *,
    network: nn.Module,
    folder: str | os.PathLike[str],
    path: str = "",
) -> None:
    """Train a stage that comes before another, or take a finished one, and load its best weights.

    Args:
        trainer: its ``KeepBest`` handler writes ``model.pt`` into ``folder``.
        network: gets the weights; without wrappers.
        folder: run directory of the stage.
        path: a finished model, a flat state dict; empty for none.

    Raises:
        MonaiKDError: if a file is missing or does not fit.
    """
    if path:
        _log.info("Using the finished model that was given.")
    else:
        trainer.run()
        wait_for_all()  # the main process writes the file
    load_model(network, path or Path(folder) / "model.pt")
