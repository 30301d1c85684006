# SPDX-License-Identifier: Apache-2.0
"""The first stage of aals: train it, or take one that is finished, then go on from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from monai.engines import SupervisedTrainer
from torch import nn

from monai_kd.engines.teacher_stage import finish_stage
from monai_kd.networks import EMATeacher
from monai_kd.utils import MonaiKDError, sha256_of_file, write_text_atomically
from monai_kd.utils.distributed import done_by_main_process

__all__ = ["check_first_stage", "start_from_first_stage"]


def start_from_first_stage(
    trainer: SupervisedTrainer,
    *,
    network: nn.Module,
    teacher: EMATeacher,
    student: nn.Module,
    folder: str | os.PathLike[str],
    run_dir: str | os.PathLike[str],
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
        run_dir: gets ``first_stage.json``, the hash of the weights that the second stage starts
            from, so that two runs can be seen to start alike.
        path: a finished first stage, a flat state dict; empty for none.

    Raises:
        MonaiKDError: if a file is missing or does not fit.
    """
    finish_stage(trainer, network=network, folder=folder, path=path)
    done_by_main_process(lambda: _note(Path(path or Path(folder) / "model.pt"), run_dir))
    teacher.update(student, 0.0)
    for parameter in network.parameters():  # none of the first stage's last gradients is stepped
        parameter.grad = None


def check_first_stage(path: str) -> None:
    """Refuse the path of a finished first stage where there is none, before anything is prepared.

    Args:
        path: a model file; empty for none.

    Raises:
        MonaiKDError: if there is no such file.
    """
    if path and not Path(path).is_file():
        raise MonaiKDError(
            "check_first_stage: `first_stage_path` must be a file, got none. Give "
            "first_stage/model.pt of a finished run, or leave it out."
        )


def _note(model: Path, run_dir: str | os.PathLike[str]) -> None:
    content = json.dumps({"sha256": sha256_of_file(model)})
    write_text_atomically(Path(run_dir) / "first_stage.json", content + "\n")
