# SPDX-License-Identifier: Apache-2.0
"""What a run directory holds, read so that a missing or broken file is None and nothing worse."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Predictions", "RunFiles", "read_run"]

_log = logging.getLogger(__name__)
_WIDEST = 1400  # pixels of a picture on the page
_LARGE = 250_000  # bytes of a PNG
_MOST = 40  # pictures read
_BUDGET = 1_500_000  # bytes of a run's pictures: two runs in base64 stay under 5 MB


@dataclass(frozen=True)
class Predictions:
    """``predictions.csv``: salted ids, labels and probabilities.

    Args:
        findings: names of the C findings.
        key: salted id of each image, or its row number when there is none.
        patient_id: salted id of each patient, or None.
        label: ``(N, C)``, NaN for unknown.
        prob: ``(N, C)``.
    """

    findings: list[str]
    key: list[str]
    patient_id: list[str] | None
    label: NDArray[np.float64]
    prob: NDArray[np.float64]


@dataclass(frozen=True)
class RunFiles:
    """Everything the page is made of.

    Args:
        folder: the run directory.
        evaluation: ``evaluation.json``, empty when there is none.
        config: ``config.json``, empty when there is none.
        predictions: ``predictions.csv``, or None.
        curves: the training curves as PNG, or None.
        pictures: files of ``pictures/`` by stem, re-encoded, so that no text in them travels.
    """

    folder: Path
    evaluation: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    predictions: Predictions | None = None
    curves: bytes | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)


def read_run(folder: Path) -> RunFiles:
    """Read what is there.

    Args:
        folder: the run directory.
    """
    from monai_kd.metrics import curves_png

    evaluation = _tried(folder / "evaluation.json", _json_object)
    return RunFiles(
        folder=folder,
        evaluation=evaluation or {},
        config=_tried(folder / "config.json", _json_object) or {},
        predictions=_tried(folder / "predictions.csv", _predictions),
        curves=_tried(folder / "metrics.csv", curves_png),
        pictures=_pictures(folder / "pictures"),
    )


def _tried(path: Path, read: Callable[[Path], Any]) -> Any:
    """What ``read`` gives, or None when the file is missing or not what it should be."""
    if not path.is_file():
        return None
    try:
        return read(path)
    except Exception as error:  # a page with a gap is better than no page
        _log.warning("The page goes without %s: %s", path.name, type(error).__name__)
        return None


def _json_object(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError("not an object")
    return content


def _predictions(path: Path) -> Predictions | None:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or []
        rows = list(reader)
    findings = [name.removeprefix("prob_") for name in names if name.startswith("prob_")]
    findings = [name for name in findings if f"label_{name}" in names]
    if not rows or not findings:
        return None
    return Predictions(
        findings=findings,
        key=[row.get("id") or str(number) for number, row in enumerate(rows)],
        patient_id=[row["patient_id"] for row in rows] if "patient_id" in names else None,
        label=np.array([[_number(row[f"label_{name}"]) for name in findings] for row in rows]),
        prob=np.array([[_number(row[f"prob_{name}"]) for name in findings] for row in rows]),
    )


def _number(text: str | None) -> float:
    return float(text) if text else math.nan


def _pictures(folder: Path) -> dict[str, bytes]:
    """As many as the page can carry, the comparison first."""
    paths = sorted(folder.glob("*.png"), key=lambda path: (path.stem != "decision_regions", path))
    kept: dict[str, bytes] = {}
    spent = 0
    for path in paths[:_MOST]:
        content = _tried(path, _encoded_again)
        if content is not None and spent + len(content) <= _BUDGET:
            kept[path.stem] = content
            spent += len(content)
    return kept


def _encoded_again(path: Path) -> bytes:
    """The pixels alone, no text chunks: PNG, or JPEG where that is far smaller."""
    from PIL import Image

    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if picture.width > _WIDEST:
        height = round(picture.height * _WIDEST / picture.width)
        picture = picture.resize((_WIDEST, height), Image.Resampling.LANCZOS)
    clean = Image.frombytes("RGB", picture.size, picture.tobytes())
    buffer = io.BytesIO()
    clean.save(buffer, format="PNG")
    if buffer.tell() > _LARGE:
        buffer = io.BytesIO()
        clean.save(buffer, format="JPEG", quality=90, subsampling=0)
    return buffer.getvalue()
