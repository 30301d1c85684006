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


def write_settings(folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
    """Write ``config.json`` into a run directory: the settings and the versions in use.

    Args:
        folder: the run directory.
        settings: plain values by name; no path and no name of a film belongs here.
    """
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
