# SPDX-License-Identifier: Apache-2.0
"""The model that is delivered: loaded whole, and asked once more when its training is over."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from ignite.engine import Engine
from torch import nn

from monai_kd.utils import MonaiKDError
from monai_kd.utils.distributed import wait_for_all

__all__ = ["load_model", "run_with_model"]


def run_with_model(
    evaluator: Engine, network: nn.Module, checkpoint: str | os.PathLike[str]
) -> None:
    """Run an evaluator with the delivered weights, those of the best epoch, in every process.

    Args:
        evaluator: asks ``network``, e.g. what writes ``validation_predictions.csv``.
        network: gets the weights; without its wrapper for distributed training.
        checkpoint: ``model.pt``, which the main process has written.

    Raises:
        MonaiKDError: if the file is missing or does not fit.
    """
    wait_for_all()  # the main process writes the file
    load_model(network, checkpoint)
    evaluator.run()


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
