# SPDX-License-Identifier: Apache-2.0
"""What a network of maps has found on each film: tables, pictures, and DICOM results."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_kd.handlers.detection_files import (
    Box,
    FilmDetections,
    FoundBox,
    ShownPoints,
    append_rows,
    partial_table,
    remove_earlier,
    remove_partial_tables,
    write_tables,
)
from monai_kd.handlers.detection_metrics import RemembersMaps
from monai_kd.handlers.detection_pictures import (
    BOX_COLORS,
    EXPERT_COLOR,
    DrawnBox,
    detection_picture,
    stored_film,
)
from monai_kd.handlers.film_boxes import boxes_on_film
from monai_kd.handlers.localization import film_name, lesion_boxes
from monai_kd.handlers.pictures import save_png
from monai_kd.handlers.predictions import unread
from monai_kd.metrics import top_candidates
from monai_kd.networks import GREY_MEAN, GREY_SD
from monai_kd.utils import MonaiKDError, slug
from monai_kd.utils.box_labels import label_text
from monai_kd.utils.distributed import (
    done_by_main_process,
    gather_objects,
    is_main_process,
    process_rank,
    wait_for_all,
)

__all__ = ["WriteDetections"]

_log = logging.getLogger(__name__)
_MOST = 20  # candidates of one map
_NOT_A_NUMBER = "The network's answer is not a number."


class WriteDetections:
    """Write the candidates of each film, in pixels of the stored film, cut at its edges.

    A candidate is shown from the dotted operating point on, and drawn solid from the solid one on;
    one that lies wholly on the black border is left out. The folder gets ``detections.csv``,
    ``coco_images.json`` and ``coco_results.json``, see
    :mod:`monai_kd.handlers.detection_files`; ``detections/film_<n>.png`` of the first films with a
    shown candidate or an expert's region, n being the film's place among all, from 0; and, of DICOM
    films, ``dicom/<salted id>/``, see :mod:`monai_kd.data.dicom_results`. A DICOM
    result that cannot be written is a ``problem`` of its film, and stops nothing; a film with a
    problem before that gets neither picture nor DICOM result. While it runs,
    ``detections.partial_<process>.csv`` grows with each batch: should it be cut off, it holds all
    that was done. At the start, all that an earlier run left in the folder is removed.

    Args:
        memory: the evaluator's network, see :class:`monai_kd.networks.MapMemory`.
        folder: gets the files.
        findings: names of the C findings.
        items: the films, in the order of their ``index``, with ``image``, a path; needed by
            ``dicom`` alone. A path goes nowhere but to the file that is opened.
        operating_points: ``operating_points.json`` of the training, or what it holds; without one
            candidates are shown dotted from 0.2 and solid from 0.5 on.
        pictures: at most so many films are drawn, at least 0; what an expert drew is white. A film
            with nothing to show is not drawn.
        dicom: ``algorithm_name`` and ``algorithm_version`` of the results that DICOM films get, see
            :func:`monai_kd.data.dicom_results.write_dicom_results`; None or empty writes none. They
            say nothing of a finding of which the model hit no lesion on the validation films.
        mean: subtracted when the image was normalized.
        sd: divided by when the image was normalized.

    Raises:
        ValueError: if ``dicom`` is given without ``items``.
    """

    def __init__(
        self,
        memory: RemembersMaps,
        folder: str | os.PathLike[str],
        findings: Sequence[str],
        *,
        items: Sequence[Mapping[str, Any]] = (),
        operating_points: Mapping[str, Any] | str | os.PathLike[str] = "operating_points.json",
        pictures: int = 6,
        dicom: Mapping[str, str] | None = None,
        mean: float = GREY_MEAN,
        sd: float = GREY_SD,
    ) -> None:
        if dicom and not len(items):
            raise ValueError(
                "WriteDetections: `items` must be the films when `dicom` is given, got none. Give "
                "the list that the data set was made of."
            )
        if dicom:  # what it needs must be there before the first film
            importlib.import_module("monai_kd.data.dicom_results")
        self.memory = memory
        self.folder = Path(folder)
        self.findings = list(findings)
        self.items = items
        self.points = ShownPoints.read(operating_points, self.findings)
        self.pictures = pictures
        self.dicom = dict(dicom or {})
        self._reported = [
            name for name, is_blind in zip_longest(self.findings, self.points.blind) if not is_blind
        ]
        if self.dicom and not self._reported:
            _log.warning("No DICOM results are written: they would say that nothing was detected.")
            self.dicom = {}
        self.mean = mean
        self.sd = sd
        self._films: list[FilmDetections] = []
        self._drawn: set[int] = set()  # by this process
        self._folders: dict[str, int] = {}  # of DICOM results of this run, and whose they are

    def attach(self, engine: Engine) -> None:
        """Look after every iteration, write the tables at the end.

        Args:
            engine: the evaluator, with ``decollate=False``.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        """Find, draw and remember the candidates of one batch.

        Args:
            engine: the evaluator.

        Raises:
            KeyError: if the batch does not say how large the stored films are.
            ValueError: if the network has not kept its maps.
        """
        batch, image = engine.state.batch, engine.state.output["image"]
        films = self._detect(batch, image)
        for row, film in enumerate(films):
            if film.size is None or film.problem:  # nobody knows what is on it
                continue
            if len(self._drawn) < self.pictures:
                self._draw(film, image[row], _expert_boxes(batch, row, film.size))
            if self.dicom and batch["format"][row] == "DICOM":
                films[row] = self._write_dicom(film)
        append_rows(self._partial, films, self.findings)
        self._films += films

    @property
    def _partial(self) -> Path:
        return partial_table(self.folder, process_rank())

    def _detect(self, batch: Mapping[str, Any], image: Tensor) -> list[FilmDetections]:
        maps = _checked(batch, self.memory.map_logits, len(image))
        finite = maps.isfinite().flatten(1).all(1).cpu()
        prob = maps.sigmoid().nan_to_num().cpu()
        score, box, _ = top_candidates(prob, self.points.radius, _MOST, self.points.share)
        cells = torch.tensor([maps.shape[3], maps.shape[2]] * 2)
        pixels = torch.tensor([image.shape[3], image.shape[2]] * 2)
        box = box * (pixels / cells)
        problems = list(batch.get("problem") or [""] * len(image))
        films = []
        for row, dark in enumerate(unread(batch, len(image)).tolist()):
            problem = problems[row] if dark or finite[row] else _NOT_A_NUMBER
            size = None if dark else _size(batch["stored_size"][row])
            found: tuple[FoundBox, ...] = ()
            if size is not None and finite[row]:
                found = self._found(score[row], box[row], size, image.shape[-1])
            name, index = film_name(batch, row), int(batch["index"][row])
            films.append(FilmDetections(index, name, size, found, problem))
        return films

    def _found(
        self, score: Tensor, box: Tensor, size: tuple[int, int], side: int
    ) -> tuple[FoundBox, ...]:
        """The candidates of one film that are shown; ``score`` is ``(C, K)``."""
        found = []
        for finding, (dots, line) in enumerate(
            zip(self.points.dotted, self.points.solid, strict=True)
        ):
            for place in ((score[finding] >= dots) & (score[finding] > 0)).nonzero()[:, 0].tolist():
                stored = _on_film(box[finding, place], size, side)
                height = float(score[finding, place])
                if stored is not None:
                    found.append(FoundBox(finding, height, stored, height >= line))
        return tuple(found)

    def _draw(self, film: FilmDetections, image: Tensor, expert: list[Box]) -> None:
        """Draw a film, if there is something to show on it."""
        if film.size is None or not (film.found or expert):
            return
        rows, columns = film.size
        gray = (image[0].float() * self.sd + self.mean).cpu().numpy()
        boxes = [DrawnBox(box, EXPERT_COLOR) for box in expert]
        for found in film.found:
            name = self.findings[found.finding] if len(self.findings) > 1 else ""
            color = BOX_COLORS[found.finding % len(BOX_COLORS)]
            label = label_text(name, found.score)
            boxes.append(DrawnBox(found.box, color, label, dotted=not found.solid))
        drawn = detection_picture(
            stored_film(gray, rows, columns), boxes, rows=rows, columns=columns
        )
        save_png(drawn, self._picture(film.index))
        self._drawn.add(film.index)

    def _picture(self, index: int) -> Path:
        return self.folder / "detections" / f"film_{index}.png"

    def _write_dicom(self, film: FilmDetections) -> FilmDetections:
        """Return the film, with a problem when its result could not be written."""
        from monai_kd.data.dicom_results import Detection, write_dicom_results

        detections = [
            Detection(self.findings[box.finding], box.score, box.box, box.solid)
            for box in film.found
            if self.findings[box.finding] in self._reported
        ]
        source, folder = self.items[film.index]["image"], self.folder / "dicom" / slug(film.name)
        try:
            self._take(folder.name, film.index)
            write_dicom_results(
                source,
                folder,
                detections,
                findings=self._reported,
                algorithm_name=self.dicom["algorithm_name"],
                algorithm_version=self.dicom["algorithm_version"],
            )
        except Exception as error:  # of any header; its text may tell whose film it is
            problem = f"WriteDetections: no DICOM result ({type(error).__name__})."
            if isinstance(error, MonaiKDError):
                problem = str(error).partition(". ")[0].rstrip(".") + "."
            _log.warning("Film %d has no DICOM result. %s", film.index, problem)
            return dataclasses.replace(film, problem=f"{film.problem} {problem}".strip())
        return film

    def _take(self, folder: str, index: int) -> None:
        """Note whose DICOM results a folder holds.

        Raises:
            MonaiKDError: if they are another film's.
        """
        if self._folders.setdefault(folder.casefold(), index) != index:
            raise MonaiKDError(
                "WriteDetections: `id` must be another for each film with DICOM results, got one "
                "twice. Give each film an id of its own."
            )

    def _start(self, engine: Engine) -> None:
        self._films, self._drawn, self._folders = [], set(), {}
        done_by_main_process(lambda: remove_earlier(self.folder))  # the others wait
        append_rows(self._partial, [], self.findings)  # what is written from now on is known by it

    def _finish(self, engine: Engine) -> None:
        every = {film.index: film for share in gather_objects(self._films) for film in share}
        self._films = []
        drawn = sorted({index for share in gather_objects(self._drawn) for index in share})
        for surplus in self._drawn.intersection(drawn[self.pictures :]):  # of several processes
            self._picture(surplus).unlink(missing_ok=True)
        if is_main_process():
            films = [every[index] for index in sorted(every)]
            write_tables(self.folder, films, self.findings)
            remove_partial_tables(self.folder)  # each was gathered above
            found = [box for film in films for box in film.found]
            _log.info(
                "detections.csv: %d candidates on %d films, %d of them solid.",
                len(found),
                len(films),
                sum(box.solid for box in found),
            )
        wait_for_all()  # the tables are there


def _checked(batch: Mapping[str, Any], maps: Tensor | None, films: int) -> Tensor:
    if "stored_size" not in batch:
        raise KeyError(
            "WriteDetections: the batch must hold `stored_size`, the films' rows and columns. "
            "Give SquarePadResized `size_key='stored_size'`."
        )
    if maps is None or len(maps) != films:
        raise ValueError(
            "WriteDetections: `memory` must hold the maps of this batch, got none of them. Give "
            "the evaluator the same MapMemory as its network."
        )
    return maps


def _size(stored: Tensor) -> tuple[int, int]:
    return round(float(stored[0])), round(float(stored[1]))


def _on_film(box: Tensor, size: tuple[int, int], side: int) -> Box | None:
    """A box of the square image on the stored film, cut at its edges; None when it lies beside."""
    (stored,), (there,) = boxes_on_film(box.double().numpy(), size, spatial_size=side)
    x_min, y_min, x_max, y_max = (float(value) for value in stored)
    return (x_min, y_min, x_max, y_max) if there else None


def _expert_boxes(batch: Mapping[str, Any], row: int, size: tuple[int, int]) -> list[Box]:
    """What was drawn on a film, of all findings, on the stored film."""
    if "region_mask" not in batch:
        return []
    masks = batch["region_mask"][row].cpu()
    side = masks.shape[-1]
    every = [torch.from_numpy(box) for mask in masks for box in lesion_boxes(mask)]
    return [box for box in (_on_film(one, size, side) for one in every) if box is not None]
