# SPDX-License-Identifier: Apache-2.0
"""An evaluated run as comparisons need it; what is missing is an error here, not a gap."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.metrics import Predictions, read_predictions
from monai_kd.utils import MonaiKDError, read_json, read_settings, sha256_of_file

__all__ = [
    "EvaluatedRun",
    "check_folder",
    "patients_are_known",
    "read_evaluated_run",
    "seed_folders",
]


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
        MonaiKDError: if there is no such run, it was not evaluated, a file is not what it should
            be, or a table is not the one that ``evaluation.json`` was written with.
    """
    check_folder(folder, name=name)
    _check_evaluated(folder, name)
    try:
        predictions = read_predictions(folder / "predictions.csv")
        settings = read_settings(folder)
    except MonaiKDError as error:
        raise MonaiKDError(f"{name}: {error}") from None
    evaluation = _evaluation(folder, name)
    _check_files(folder, evaluation.get("files") or {}, name)
    section = str(evaluation.get("predictions_of", ""))
    summary = (evaluation.get("sections") or {}).get(section) or {}
    settings = settings or evaluation.get("settings") or {}  # evaluated away from its training
    known = summary.get("activation") or settings.get("activation")
    return EvaluatedRun(
        folder=folder,
        predictions=predictions,
        activation=str(known or _activation(predictions)),
        section=section,
        settings=settings,
    )


def check_folder(folder: Path, *, name: str) -> None:
    """Refuse what is no folder.

    Args:
        folder: what the user gave.
        name: what the user calls it, such as ``"A"``; begins the message.

    Raises:
        MonaiKDError: if there is none.
    """
    if not folder.is_dir():
        what = "a file" if folder.exists() else "a path where none is"
        raise MonaiKDError(f"{name}: the run must be a folder, got {what}. Check the spelling.")


def patients_are_known(runs: Sequence[EvaluatedRun]) -> bool:
    """Return whether every film of the datalists has a patient, as far as the runs say.

    Args:
        runs: what is compared.
    """
    return not any(run.settings.get("films_without_patient") for run in runs)


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


def _check_evaluated(folder: Path, name: str) -> None:
    if not (folder / "predictions.csv").is_file():
        what = "Run the bundle's evaluate.json on it first."
        if seed_folders(folder):
            what = "It holds runs of several seeds: add `--seeds`."
        raise MonaiKDError(
            f"{name}: the run must be evaluated, got a folder without predictions.csv. {what}"
        )


def _evaluation(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = read_json(folder / "evaluation.json")
    except ValueError:
        content = "no JSON"
    if not _is_evaluation(content):
        raise MonaiKDError(
            f"{name}: evaluation.json must hold the summary of each section, got something else. "
            "Evaluate the run again, or delete the file."
        )
    return content or {}


def _is_evaluation(content: Any) -> bool:
    if content is None:
        return True
    if not isinstance(content, dict):
        return False
    parts = [content.get(name) or {} for name in ("sections", "files", "settings")]
    if not all(isinstance(part, dict) for part in parts):
        return False
    return all(isinstance(summary or {}, dict) for summary in parts[0].values())


def _check_files(folder: Path, hashes: Mapping[str, str], name: str) -> None:
    """Refuse a table that was cut short, edited, or written by another evaluation."""
    for table, sha256 in hashes.items():
        path = folder / Path(table).name
        if not path.is_file() or sha256_of_file(path) != sha256:
            raise MonaiKDError(
                f"{name}: {path.name} must be the one that evaluation.json was written with, got "
                f"{'another' if path.is_file() else 'none'}. Evaluate the run again."
            )


def _activation(predictions: Predictions) -> str:
    """Softmax if the probabilities of each film add up to 1."""
    total = predictions.prob.sum(axis=1)
    exclusive = len(predictions.findings) > 1 and bool(np.all(np.abs(total - 1) < 1e-3))
    return "softmax" if exclusive else "sigmoid"
