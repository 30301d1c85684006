# SPDX-License-Identifier: Apache-2.0
"""What a training in rounds leaves behind: ``rounds.json``, and a folder of models for each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_kd.utils import MonaiKDError, sha256_of_file

__all__ = ["NETWORKS", "RoundsRun", "read_rounds"]

_MODEL = "model.pt"
NETWORKS = {"student": _MODEL, "teacher": "teacher.pt"}
"""Files of a round's models by who they are."""
_FILE = "rounds.json"
_NEEDED = {"round": int, "folder": str}


@dataclass(frozen=True)
class RoundsRun:
    """A method's rounds.

    Args:
        method: its name, such as ``"distl"``.
        root: folder that holds the folders of the rounds.
        delivered: number of the round whose model is delivered.
        rounds: entries of ``rounds.json``, in order; each has ``round`` and ``folder``.
        network: ``"student"`` or ``"teacher"``, whichever of the two is delivered.
        stopped: why training was stopped before its last round, in words; empty when it was not.
    """

    method: str
    root: Path
    delivered: int
    rounds: list[dict[str, Any]]
    network: str = "student"
    stopped: str = ""

    def models(self) -> dict[tuple[int, str], Path]:
        """Return the model files that are there, by round and ``"student"`` or ``"teacher"``."""
        return {
            (entry["round"], network): path
            for entry in self.rounds
            for network, name in NETWORKS.items()
            if (path := self.root / entry["folder"] / name).is_file()
        }


def read_rounds(model_dir: str | os.PathLike[str]) -> list[RoundsRun]:
    """Return the run's own rounds, then those of the methods in ``comparators/``, by name.

    Args:
        model_dir: run directory of the training.

    Returns:
        Empty where the training had no rounds.

    Raises:
        MonaiKDError: if a ``rounds.json`` is not what training writes.
    """
    root = Path(model_dir)
    if not (root / _FILE).is_file():
        return []
    others = sorted(path.parent for path in root.glob(f"comparators/*/{_FILE}"))
    own = _read(root, "")
    return [own, *(_read(folder, folder.name) for folder in others)]


def _read(root: Path, name: str) -> RoundsRun:
    try:
        content = json.loads((root / _FILE).read_text(encoding="utf-8"))
        rounds = [dict(entry) for entry in content["rounds"]]
        delivered = int(content["delivered"])
        method = name or str(content["method"])
        stopped = str(content.get("stopped") or "")
        fits = all(isinstance(e.get(key), kind) for e in rounds for key, kind in _NEEDED.items())
    except (ValueError, TypeError, KeyError, AttributeError):
        rounds, fits = [], False
    if not rounds or not fits:
        raise MonaiKDError(
            "read_rounds: rounds.json must name the method, the delivered round, and of each round "
            "its number and folder, got something else. Train again, or restore the file."
        )
    run = RoundsRun(method, root=root, delivered=delivered, rounds=rounds, stopped=stopped)
    return replace(run, network="teacher") if _delivers_teacher(run) else run


def _delivers_teacher(run: RoundsRun) -> bool:
    """Whether ``model.pt`` is a copy of the delivered round's teacher, and not of its student."""
    models, copy = run.models(), run.root / _MODEL
    files = [models.get((run.delivered, network)) for network in ("student", "teacher")]
    if not copy.is_file() or files[1] is None:
        return False
    ours = sha256_of_file(copy)
    student, teacher = (path is not None and sha256_of_file(path) == ours for path in files)
    return teacher and not student
