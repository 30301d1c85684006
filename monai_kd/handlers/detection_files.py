# SPDX-License-Identifier: Apache-2.0
"""Detections of films as tables: ``detections.csv``, and COCO's two files.

``detections.csv`` has one row per detection: id, finding, score, box in pixels of the stored film,
``operating_point`` (``solid`` or ``dotted``) and ``problem``. A film without any detection has one
row with nothing but its id, and a film that could not be read one with its problem, so that every
film that was asked about is there. ``coco_images.json`` (the films and the findings) and
``coco_results.json`` (the detections) are read together, as pycocotools does:
``COCO("coco_images.json").loadRes("coco_results.json")``; a film's ``image_id`` is its place among
the films, from 0, and its ``file_name`` its salted id. (Where nothing was found, the results are an
empty list, which pycocotools 2.0 cannot load.)
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.metrics import coco_results
from monai_kd.utils import read_json, write_text_atomically

__all__ = [
    "FilmDetections",
    "FoundBox",
    "ShownPoints",
    "append_rows",
    "partial_table",
    "remove_earlier",
    "remove_partial_tables",
    "warn_of_blindness",
    "write_tables",
]

_log = logging.getLogger(__name__)
_COLUMNS = ("id", "finding", "score", "x_min", "y_min", "x_max", "y_max")
_HEADER = (*_COLUMNS, "operating_point", "problem")
_DOTTED, _SOLID = 0.2, 0.5  # where nobody has chosen; a probability of a half is a line anyway
_RADIUS, _SHARE = 6, 0.5
_TABLES = ("detections.csv", "coco_images.json", "coco_results.json")
_DICOM_RESULTS = ("report.dcm", "segmentation.dcm", "picture.dcm", "presentation.dcm")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class FoundBox:
    """A candidate that is shown.

    Args:
        finding: its column.
        score: in [0, 1].
        box: ``x_min, y_min, x_max, y_max`` in pixels of the stored film, maxima exclusive.
        solid: whether it is at or above the solid operating point.
    """

    finding: int
    score: float
    box: Box
    solid: bool


@dataclass(frozen=True)
class FilmDetections:
    """What was found on one film; nothing in it names a file or a patient.

    Args:
        index: place among the films, from 0.
        name: salted id.
        size: rows and columns of the stored film; None when it could not be read.
        found: the best first within each finding.
        problem: "" when there was none.
    """

    index: int
    name: str
    size: tuple[int, int] | None
    found: tuple[FoundBox, ...]
    problem: str = ""


@dataclass(frozen=True)
class ShownPoints:
    """From which score on candidates are shown, and how they are made.

    Args:
        dotted: per finding, score from which a candidate is shown dotted.
        solid: per finding, score from which its line is solid.
        radius: see :func:`monai_kd.metrics.top_candidates`.
        share: see :func:`monai_kd.metrics.top_candidates`.
        blind: per finding, whether no lesion was hit on the validation films: boxes of it mean
            nothing, and that there are none means nothing either.
    """

    dotted: tuple[float, ...]
    solid: tuple[float, ...]
    radius: int
    share: float
    blind: tuple[bool, ...] = ()

    @classmethod
    def read(
        cls, points: Mapping[str, Any] | str | os.PathLike[str], findings: Sequence[str]
    ) -> ShownPoints:
        """Return what a training has chosen; 0.2 and 0.5, with a warning, where it has not.

        Args:
            points: ``operating_points.json``, or what it holds; a missing file holds nothing.
            findings: names of the C findings.
        """
        given = points if isinstance(points, Mapping) else read_json(points) or {}
        chosen = given.get("findings", {})
        dotted = [_threshold(chosen.get(name), "dotted", _DOTTED) for name in findings]
        solid = [_threshold(chosen.get(name), "solid", _SOLID) for name in findings]
        missing = sum(_threshold(chosen.get(f), "dotted", -1.0) < 0 for f in findings)
        if missing:
            _log.warning(
                "No operating points were chosen for %d of %d findings: candidates are shown "
                "dotted from %.1f and solid from %.1f on.",
                missing,
                len(findings),
                _DOTTED,
                _SOLID,
            )
        blind = tuple((chosen.get(f) or {}).get("dotted", {}).get("recall") == 0 for f in findings)
        warn_of_blindness([f for f, is_blind in zip(findings, blind, strict=True) if is_blind])
        return cls(
            tuple(dotted),
            tuple(max(line, dots) for line, dots in zip(solid, dotted, strict=True)),
            int(given.get("radius", _RADIUS)),
            float(given.get("share", _SHARE)),
            blind,
        )


def warn_of_blindness(findings: Sequence[str]) -> None:
    """Say that a detector does not find these.

    Args:
        findings: names; none says nothing.
    """
    if findings:
        _log.warning(
            "The model hit no lesion of %s on the validation films: its boxes mean nothing there, "
            "and neither does it when there are none. Train longer, or draw more regions.",
            ", ".join(findings),
        )


def partial_table(folder: Path, rank: int) -> Path:
    """Return where a process keeps its rows until all are done.

    Args:
        folder: of the tables.
        rank: of the process.
    """
    return folder / f"detections.partial_{rank}.csv"


def remove_partial_tables(folder: Path) -> None:
    """Remove the unfinished tables of all processes, also of a run with more of them.

    Args:
        folder: of the tables.
    """
    for partial in folder.glob("detections.partial_*.csv"):
        partial.unlink()


def remove_earlier(folder: Path) -> None:
    """Remove tables, pictures and DICOM results of an earlier run, finished or cut off.

    A folder without a table of such a run, finished or not, is left alone. The tables go last, so
    that what is left when this is cut off goes the next time.

    Args:
        folder: of the tables.
    """
    tables = [folder / name for name in _TABLES]
    unfinished = any(folder.glob("detections.partial_*.csv"))
    if not unfinished and not any(table.is_file() for table in tables):
        return
    for picture in (folder / "detections").glob("film_*.png"):
        picture.unlink()
    _remove_dicom_results(folder / "dicom")
    for table in tables:
        table.unlink(missing_ok=True)
    remove_partial_tables(folder)


def append_rows(path: Path, films: Iterable[FilmDetections], findings: Sequence[str]) -> None:
    """Add the rows of films to an unfinished table, which outlives a crash.

    Args:
        path: the table, made when missing.
        films: that are ready.
        findings: names of the C findings.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for film in films for row in _rows(film, findings)]
    with path.open("a", encoding="utf-8") as file:
        file.write(_csv([] if file.tell() else [_HEADER]) + _csv(rows))


def write_tables(folder: Path, films: Sequence[FilmDetections], findings: Sequence[str]) -> None:
    """Write ``detections.csv``, ``coco_images.json`` and ``coco_results.json``.

    Args:
        folder: gets them.
        films: each once, in their order.
        findings: names of the C findings.
    """
    rows = [row for film in films for row in _rows(film, findings)]
    write_text_atomically(folder / "detections.csv", _csv([_HEADER]) + _csv(rows))
    images = [
        {"id": film.index, "file_name": film.name, "height": film.size[0], "width": film.size[1]}
        for film in films
        if film.size is not None
    ]
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(findings)]
    about = {"images": images, "categories": categories, "annotations": []}
    write_text_atomically(folder / "coco_images.json", json.dumps(about, indent=1) + "\n")
    results = json.dumps(_coco(films), indent=1)
    write_text_atomically(folder / "coco_results.json", results + "\n")


def _remove_dicom_results(folder: Path) -> None:
    films = [film for film in folder.glob("*") if film.is_dir()]
    for film in films:
        for name in _DICOM_RESULTS:
            (film / name).unlink(missing_ok=True)
    for emptied in (*films, folder):
        if emptied.is_dir() and not any(emptied.iterdir()):
            emptied.rmdir()


def _threshold(chosen: Mapping[str, Any] | None, point: str, default: float) -> float:
    value = (chosen or {}).get(point, {}).get("threshold")
    return default if value is None or math.isnan(value) else float(value)


def _rows(film: FilmDetections, findings: Sequence[str]) -> Iterator[list[str]]:
    for found in film.found:
        place = [f"{value:.2f}" for value in found.box]
        point = "solid" if found.solid else "dotted"
        row = [film.name, findings[found.finding], f"{found.score:.6f}", *place, point]
        yield [*row, film.problem]
    if not film.found:
        yield [film.name, *[""] * len(_COLUMNS), film.problem]


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _coco(films: Sequence[FilmDetections]) -> list[dict[str, Any]]:
    found = [(film.index, box) for film in films for box in film.found]
    return coco_results(
        np.array([index for index, _ in found], np.int64),
        np.array([box.score for _, box in found], np.float64),
        np.array([box.box for _, box in found], np.float64).reshape(-1, 4),
        np.array([box.finding + 1 for _, box in found], np.int64),
    )
