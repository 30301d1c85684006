# SPDX-License-Identifier: Apache-2.0
"""The settings a model was trained with stay beside it, so that nobody has to repeat them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from monai_kd.utils.checks import MonaiKDError
from monai_kd.utils.files import write_text_atomically

__all__ = ["read_json", "read_settings", "write_settings"]

_PACKAGES = ("monai-kd", "monai", "torch", "pytorch-ignite", "numpy", "pydicom")

_MAY_CHANGE = ("max_epochs", "teacher_epochs", "learning_rate", "precision")


def write_settings(
    folder: str | os.PathLike[str], settings: Mapping[str, Any], *, resume: bool = False
) -> None:
    """Write ``config.json`` into a run directory: the settings and the versions in use.

    Args:
        folder: the run directory.
        settings: plain values by name; no path and no name of a film belongs here.
        resume: whether the run goes on; then only the numbers of epochs, the learning rate and the
            precision may differ from those that are there.

    Raises:
        MonaiKDError: if a resumed run has other settings than it began with; nothing is written.
    """
    before = read_settings(folder) if resume else {}
    now: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    changed = [name for name in now if name in before and before[name] != now[name]]
    changed = [name for name in changed if name not in _MAY_CHANGE]
    if changed:
        raise MonaiKDError(
            "write_settings: a resumed run must keep its settings, got another "
            f"{_listed(changed)}. config.json in `output_dir` names those it began with; give "
            "these, or another `output_dir`."
        )
    content = {**settings, "versions": {name: _version(name) for name in _PACKAGES}}
    write_text_atomically(Path(folder) / "config.json", json.dumps(content, indent=2) + "\n")


def read_settings(
    folder: str | os.PathLike[str], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the settings that the model in a run directory was trained with.

    Args:
        folder: the run directory.
        defaults: used for what ``config.json`` does not say, and when there is none.

    Raises:
        MonaiKDError: if ``config.json`` is not JSON.
    """
    path = Path(folder) / "config.json"
    settings = dict(defaults or {})
    if path.exists():
        try:
            settings |= json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise MonaiKDError(
                "read_settings: config.json in the run directory must be JSON, got something "
                "else. Train again, or restore the file."
            ) from error
    return settings


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
