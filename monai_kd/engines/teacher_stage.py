# SPDX-License-Identifier: Apache-2.0
"""The teacher comes first: train it, or take one that is finished, then freeze it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch
from monai.engines import SupervisedTrainer
from torch import nn

from monai_kd.utils import MonaiKDError
from monai_kd.utils.distributed import wait_for_all

__all__ = ["load_model", "prepare_teacher"]

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
    if path:
        _log.info("Using the finished teacher that was given.")
        load_model(network, path)
    else:
        network.requires_grad_(True)  # the student's trainer may have been built, and frozen it
        trainer.run()
        wait_for_all()  # the main process writes the file
        load_model(network, Path(folder) / "model.pt")
    network.requires_grad_(False).eval()


def load_model(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a delivered model (``model.pt``), every tensor of it.

    Args:
        network: changed in place.
        path: flat state dict, written by training.

    Raises:
        MonaiKDError: if there is no file, it cannot be read, or it belongs to another network.
    """
    if not Path(path).is_file():
        raise MonaiKDError(
            "load_model: there is no trained model where one is expected. Train first, or give "
            "the run directory of a training (`output_dir`) or a model file (`checkpoint`)."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except Exception as error:
        raise MonaiKDError(
            f"load_model: the model file does not fit a {type(network).__name__} with these "
            f"settings ({type(error).__name__}). `backbone` and the findings must be those of the "
            "training; config.json beside the model names them."
        ) from error
