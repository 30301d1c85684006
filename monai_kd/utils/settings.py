# SPDX-License-Identifier: Apache-2.0
"""The settings a model was trained with stay beside it, so that nobody has to repeat them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from monai_kd.utils.checks import MonaiKDError
from monai_kd.utils.files import write_text_atomically

__all__ = ["read_json", "read_settings", "write_settings"]

_PACKAGES = ("monai-kd", "monai", "torch", "pytorch-ignite", "numpy", "pydicom")

_MAY_CHANGE = ("max_epochs", "teacher_epochs", "learning_rate", "precision", "rounds")
_OF_THE_ARCHIVE = ("sha256", "section_sha256", "data", "films_without_patient")
_OF_LATER_EPOCHS = ("learning_rate", "precision", "teacher_epochs")


def write_settings(
    folder: str | os.PathLike[str], settings: Mapping[str, Any], *, resume: bool = False
) -> None:
    """Write ``config.json`` into a run directory: the settings and the versions in use.

    What a resumed run changes holds from its next epoch on. What held before stays under
    ``resumed``: a list of the earlier values, each with the number of epochs that were trained.

    Args:
        folder: the run directory.
        settings: plain values by name; no path and no name of a film belongs here.
        resume: whether the run goes on; then only the numbers of epochs and rounds, the learning
            rate and the precision may differ from those that are there, and only for what is still
            to come. An archive may have grown by whole sections, where ``section_sha256`` tells.

    Raises:
        MonaiKDError: if a resumed run has other settings than it began with, or changes what no
            epoch is left for; nothing is written.
    """
    before = read_settings(folder) if resume else {}
    now: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    changed = [name for name in now if name in before and before[name] != now[name]]
    may_change = _MAY_CHANGE + (_OF_THE_ARCHIVE if _has_grown(before, now) else ())
    _check_changes([name for name in changed if name not in may_change])
    history = list(before.get("resumed") or [])
    if changed:
        done = {
            "after_epoch": _epochs_done(Path(folder)),
            "after_teacher_epoch": _epochs_done(Path(folder) / "teacher"),
        }
        _check_epochs(now, changed, done)
        if rounds := len(list(Path(folder).glob("round_*/finished.json"))):
            done["after_round"] = rounds
        if any(done.values()):
            history.append({**done, **{name: before[name] for name in changed}})
    content = {**settings, **({"resumed": history} if history else {})}
    content["versions"] = {name: _version(name) for name in _PACKAGES}
    write_text_atomically(Path(folder) / "config.json", json.dumps(content, indent=2) + "\n")


def read_settings(
    folder: str | os.PathLike[str], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the settings that the model in a run directory was trained with.

    Args:
        folder: the run directory.
        defaults: used for what ``config.json`` does not say, and when there is none.

    Raises:
        MonaiKDError: if ``config.json`` is not a JSON object.
    """
    path = Path(folder) / "config.json"
    settings = dict(defaults or {})
    if path.exists():
        try:
            settings |= dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise MonaiKDError(
                "read_settings: config.json in the run directory must be JSON, got something "
                "else. Train again, or restore the file."
            ) from error
    return settings


def _has_grown(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether whole sections have come, and those that were there have the films they had."""
    for name in ("section_sha256", "data"):
        earlier, present = before.get(name), now.get(name)
        if not isinstance(earlier, dict) or not isinstance(present, dict):
            return False
        if not earlier.items() <= present.items() or len(earlier) == len(present):
            return False
    return True


def _check_changes(refused: list[str]) -> None:
    if refused:
        raise MonaiKDError(
            "write_settings: a resumed run must keep its settings, got another "
            f"{_listed(refused)}. config.json in `output_dir` names those it began with; give "
            "these, or another `output_dir`."
        )


def _check_epochs(now: Mapping[str, Any], changed: list[str], done: Mapping[str, int]) -> None:
    """Refuse what would stand in ``config.json`` without any epoch that was trained so."""
    counted = {"max_epochs": "after_epoch", "teacher_epochs": "after_teacher_epoch"}
    for name, count in ((name, done[key]) for name, key in counted.items()):
        if name in changed and now[name] < count:
            raise MonaiKDError(
                f"write_settings: `{name}` of a resumed run must be at least the {count} epochs "
                f"that it has trained, got {now[name]}. Give more, or another `output_dir`."
            )
    late = [name for name in changed if name in _OF_LATER_EPOCHS]
    if late and 0 < now.get("max_epochs", math.inf) <= done["after_epoch"]:
        raise MonaiKDError(
            f"write_settings: a run without an epoch left to train must keep {_listed(late)}, got "
            "another value. Leave it out, raise `max_epochs`, or give another `output_dir`."
        )


def _epochs_done(folder: Path) -> int:
    """Epochs that a training can go on from; 0 when its checkpoint cannot be read."""
    path = folder / "checkpoints" / "last.pt"
    if not path.exists():
        return 0
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return int(state["epoch"])
    except Exception:  # any of many; whoever goes on from it says so
        return 0


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a JSON file, or None when there is no such file.

    Args:
        path: file to read.
    """
    file = Path(path)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
