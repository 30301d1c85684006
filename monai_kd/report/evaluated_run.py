# SPDX-License-Identifier: Apache-2.0
"""An evaluated run as comparisons need it; what is missing is an error here, not a gap."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.metrics import Predictions, read_predictions
from monai_kd.utils import MonaiKDError, read_json, read_settings

__all__ = ["EvaluatedRun", "read_evaluated_run", "seed_folders"]


@dataclass(frozen=True)
class EvaluatedRun:
    """A run directory after its evaluation.

    Args:
        folder: the run directory.
        predictions: its ``predictions.csv``.
        activation: ``"softmax"`` or ``"sigmoid"``.
        section: name of the section that was evaluated last, ``""`` when that is not known.
        settings: what the model was trained with, empty when that is not known.
    """

    folder: Path
    predictions: Predictions
    activation: str
    section: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_evaluated_run(folder: Path, *, name: str) -> EvaluatedRun:
    """Read a run directory.

    Args:
        folder: the run directory.
        name: what the user calls it, such as ``"A"``; begins the messages.

    Raises:
        MonaiKDError: if the run was not evaluated, or its table is not what it should be.
    """
    if not (folder / "predictions.csv").is_file():
        what = "Run the bundle's evaluate.json on it first."
        if seed_folders(folder):
            what = "It holds runs of several seeds: add `--seeds`."
        raise MonaiKDError(
            f"{name}: the run must be evaluated, got a folder without predictions.csv. {what}"
        )
    try:
        predictions = read_predictions(folder / "predictions.csv")
        settings = read_settings(folder)
    except MonaiKDError as error:
        raise MonaiKDError(f"{name}: {error}") from None
    evaluation = _evaluation(folder)
    section = str(evaluation.get("predictions_of", ""))
    summary = (evaluation.get("sections") or {}).get(section) or {}
    known = summary.get("activation") or settings.get("activation")
    return EvaluatedRun(
        folder=folder,
        predictions=predictions,
        activation=str(known or _activation(predictions)),
        section=section,
        settings=settings,
    )


def seed_folders(folder: Path) -> dict[int, Path]:
    """Return the run directories ``seed_0``, ``seed_1``, ... of a folder by their number.

    Args:
        folder: holds the run directories.
    """
    found = {}
    for path in folder.glob("seed_*"):
        number = re.fullmatch(r"seed_(\d+)", path.name)
        if number and path.is_dir():
            found[int(number[1])] = path
    return dict(sorted(found.items()))


def _evaluation(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / "evaluation.json")
    except ValueError:  # half a file; the table is what counts
        content = None
    return content if isinstance(content, dict) else {}


def _activation(predictions: Predictions) -> str:
    """Softmax if the probabilities of each film add up to 1."""
    total = predictions.prob.sum(axis=1)
    exclusive = len(predictions.findings) > 1 and bool(np.all(np.abs(total - 1) < 1e-3))
    return "softmax" if exclusive else "sigmoid"
