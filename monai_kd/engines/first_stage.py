# SPDX-License-Identifier: Apache-2.0
"""The first stage of aals: train it, or take one that is finished, then go on from it."""

from __future__ import annotations

import os

from monai.engines import SupervisedTrainer
from torch import nn

from monai_kd.engines.teacher_stage import finish_stage
from monai_kd.networks import EMATeacher

__all__ = ["start_from_first_stage"]


def start_from_first_stage(
    trainer: SupervisedTrainer,
    *,
    network: nn.Module,
    teacher: EMATeacher,
    student: nn.Module,
    folder: str | os.PathLike[str],
    path: str = "",
) -> None:
    """Leave the best weights of the first stage in the student and in its teacher.

    With a ``path`` nothing is trained. Otherwise the trainer runs (a finished one that is resumed
    has nothing left to do) and its best epoch is loaded.

    Args:
        trainer: of the first stage; its ``KeepBest`` handler writes ``model.pt`` into ``folder``.
        network: that learns, without wrappers; gets the weights.
        teacher: becomes a copy of the student.
        student: what the teacher was made of.
        folder: run directory of the first stage.
        path: a finished first stage, a flat state dict; empty for none.

    Raises:
        MonaiKDError: if a file is missing or does not fit.
    """
    finish_stage(trainer, network=network, folder=folder, path=path)
    teacher.update(student, 0.0)
    for parameter in network.parameters():  # none of the first stage's last gradients is stepped
        parameter.grad = None
