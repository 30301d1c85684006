# SPDX-License-Identifier: Apache-2.0
"""What a run in rounds has left for the page, read so that a broken file is nothing worse."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_kd.metrics import read_health
from monai_kd.report.run_files import RunFiles
from monai_kd.utils import read_json

__all__ = ["EvolutionFiles", "read_evolution"]

_log = logging.getLogger(__name__)
_MOST = 24  # pictures read
_BUDGET = 600_000  # bytes of them all: what the page's other pictures leave of its 5 MB
_WIDEST = 1000
_Health = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class EvolutionFiles:
    """Files of a run in rounds.

    Args:
        told: ``evolution.json``, empty when the rounds were not evaluated.
        rounds: ``rounds.json``, empty when there is none.
        health: ``health.csv`` by phase and column, empty when there is none.
        pictures: films of ``pictures/rounds/`` by stem, re-encoded, so that no text travels.
        other_model: whether ``evolution.json`` is of other weights than were evaluated.
    """

    told: dict[str, Any]
    rounds: dict[str, Any]
    health: _Health = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    other_model: bool = False


def read_evolution(run: RunFiles) -> EvolutionFiles | None:
    """Return what is there; None for a run without rounds.

    Args:
        run: the run that the page is about.
    """
    told, rounds = (_object(run.folder / name) for name in ("evolution.json", "rounds.json"))
    if not told and not rounds:
        return None
    ours, theirs = told.get("model_sha256"), run.evaluation.get("model_sha256")
    return EvolutionFiles(
        told=told,
        rounds=rounds,
        health=_tried(run.folder / "health.csv", read_health) or {},
        pictures=_pictures(run.folder / "pictures" / "rounds"),
        other_model=None not in (ours, theirs) and ours != theirs,
    )


def _object(path: Path) -> dict[str, Any]:
    content = _tried(path, read_json)
    return content if isinstance(content, dict) else {}


def _tried(path: Path, read: Callable[[Path], Any]) -> Any:
    if not path.is_file():
        return None
    try:
        return read(path)
    except Exception as error:  # a page with a gap is better than no page
        _log.warning("The page goes without %s: %s", path.name, type(error).__name__)
        return None


def _pictures(folder: Path) -> dict[str, bytes]:
    """As many as the page can carry, maps of rounds before maps of heads."""
    kept: dict[str, bytes] = {}
    found = sorted(folder.glob("*.png"), key=lambda path: (path.stem.endswith("_heads"), path.name))
    for path in found[:_MOST]:
        content = _tried(path, _encoded_again)
        if content is not None and sum(map(len, kept.values())) + len(content) <= _BUDGET:
            kept[path.stem] = content
    return kept


def _encoded_again(path: Path) -> bytes:
    """The pixels alone, no text chunks."""
    from PIL import Image

    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if picture.width > _WIDEST:
        height = round(picture.height * _WIDEST / picture.width)
        picture = picture.resize((_WIDEST, height), Image.Resampling.LANCZOS)
    clean = Image.frombytes("RGB", picture.size, picture.tobytes())
    buffer = io.BytesIO()
    clean.save(buffer, format="JPEG", quality=86, subsampling=0)
    return buffer.getvalue()
