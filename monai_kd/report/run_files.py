# SPDX-License-Identifier: Apache-2.0
"""What a run directory holds, read so that a missing or broken file is None and nothing worse."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_kd.metrics import Predictions, read_predictions
from monai_kd.report.chosen_section import predictions_of
from monai_kd.utils import sha256_of_file

__all__ = ["RunFiles", "read_run"]

_log = logging.getLogger(__name__)
_WIDEST = 1000  # pixels of a picture on the page
_LARGE = 60_000  # bytes of a PNG
_MOST = 40  # pictures read
_BOXES = 6  # films with boxes
_BUDGET = 900_000  # bytes of a folder's pictures: four folders in base64 stay below 5 MB
_TABLES = ("predictions.csv", "candidates.csv", "lesions.csv")
_HASHED = ("model.pt", "predictions.csv", "validation_predictions.csv", "evaluation.json")


@dataclass(frozen=True)
class RunFiles:
    """Everything the page is made of.

    Args:
        folder: the run directory.
        evaluation: ``evaluation.json``, empty when there is none.
        config: ``config.json``, empty when there is none.
        predictions: ``predictions.csv``, or None; also None where it is of another evaluation.
        curves: the training curves as PNG, or None.
        pictures: films of ``pictures/`` by stem, re-encoded, so that no text in them travels.
        worst: films of ``pictures/worst/``, likewise.
        boxes: films of ``detections/`` with boxes, likewise, as far as the page shows them.
        hashes: SHA-256 by the name of the file that it is of.
        foreign: why a table that is there is not of this evaluation, by its name.
    """

    folder: Path
    evaluation: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    predictions: Predictions | None = None
    curves: bytes | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)
    worst: dict[str, bytes] = field(default_factory=dict)
    boxes: dict[str, bytes] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)


def read_run(folder: Path) -> RunFiles:
    """Read what is there.

    Args:
        folder: the run directory.
    """
    from monai_kd.metrics import curves_png

    evaluation = _tried(folder / "evaluation.json", _json_object) or {}
    settings = evaluation.get("settings")  # evaluated away from the training's folder
    foreign = _foreign(folder, evaluation)
    with_pictures = predictions_of(evaluation) is None
    return RunFiles(
        folder=folder,
        evaluation=evaluation,
        config=_tried(folder / "config.json", _json_object)
        or (settings if isinstance(settings, dict) else {}),
        predictions=None
        if "predictions.csv" in foreign
        else _tried(folder / "predictions.csv", read_predictions),
        curves=_tried(folder / "metrics.csv", curves_png),
        pictures=_pictures(folder / "pictures") if with_pictures else {},
        worst=_pictures(folder / "pictures" / "worst") if with_pictures else {},
        boxes=_pictures(folder / "detections", "film_*.png", most=_BOXES) if with_pictures else {},
        hashes=_hashes(folder),
        foreign=foreign,
    )


def _hashes(folder: Path) -> dict[str, str]:
    files = {name: folder / name for name in _HASHED}
    return {name: sha256_of_file(path) for name, path in files.items() if path.is_file()}


def _foreign(folder: Path, evaluation: dict[str, Any]) -> dict[str, str]:
    """Tables of other films than the numbers, or changed since the evaluation has written them."""
    there = [name for name in _TABLES if (folder / name).is_file()]
    section = predictions_of(evaluation)
    if section is not None:
        return dict.fromkeys(there, f"is of the section {section}, the numbers are not")
    written = evaluation.get("files")
    if not isinstance(written, dict):
        return {}
    changed = [name for name in there if sha256_of_file(folder / name) != written.get(name)]
    return dict.fromkeys(changed, "is not as the evaluation has written it")


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


def _pictures(folder: Path, names: str = "*.png", *, most: int = _MOST) -> dict[str, bytes]:
    """As many as the page can carry."""
    kept: dict[str, bytes] = {}
    spent = 0
    found = sorted(folder.glob(names), key=lambda path: (len(path.stem), path.stem))  # 2 before 10
    for path in found[:most]:
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
        clean.save(buffer, format="JPEG", quality=88, subsampling=0)
    return buffer.getvalue()
