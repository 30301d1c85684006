# SPDX-License-Identifier: Apache-2.0
"""How well a network that answers with maps finds the lesions that were drawn."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from monai_kd.handlers.detection_files import warn_of_blindness
from monai_kd.handlers.film_boxes import boxes_on_film
from monai_kd.handlers.localization import film_name, lesion_boxes, scored_findings
from monai_kd.handlers.localization_tables import (
    FilmCandidates,
    films_by_finding,
    localize,
    match_films,
    remove_localization,
)
from monai_kd.metrics import (
    Candidates,
    DetectionThresholds,
    choose_detection_thresholds,
    froc_curve,
    recall_at,
    top_candidates,
)
from monai_kd.utils import slug, write_text_atomically
from monai_kd.utils.distributed import gather_objects, is_main_process

__all__ = ["DetectionMetrics", "RemembersMaps"]

_log = logging.getLogger(__name__)
_LOWEST = 0.001  # score below which a peak is no candidate: it could only be a false positive
_RULE = "center"
FloatArray = NDArray[Any]
_Matched = Mapping[int, tuple[Sequence[FilmCandidates], Candidates]]


class RemembersMaps(Protocol):
    """What keeps the maps of the last batch, such as :class:`monai_kd.networks.MapMemory`."""

    map_logits: Tensor | None


class DetectionMetrics:
    """Hold the peaks of the maps against the lesions that were drawn, in each evaluation.

    The candidates are those of :func:`monai_kd.metrics.top_candidates`, in pixels of the network's
    image, without those that lie wholly on the black border round the film; that takes
    ``stored_size`` in the batch. One hits a lesion when the cell of its peak lies in the lesion's
    box or touches it: when the middle of the cell is at most half a cell beside the box. The
    lesions are the connected parts of the region. A film is scored for a finding that is absent
    from it, and for one that is present and drawn; films that could not be read are left out.

    ``engine.state.metrics`` gets ``val_froc_score``, the mean over the findings that have lesions,
    and ``val_froc_<finding>`` of each: the mean recall at 0.1, 0.2, 0.5 and 1 false positives per
    image. They are NaN where there is no lesion, and all are where a map is not finite.

    Args:
        memory: its ``map_logits`` are those of the batch that was just evaluated, ``(B, C, h, w)``.
        folder: the run directory.
        findings: names of the C findings.
        radius: see :func:`monai_kd.metrics.top_candidates`; in cells of the map.
        share: see :func:`monai_kd.metrics.top_candidates`.
        max_candidates: of one map.
        write: write ``candidates.csv`` and ``lesions.csv`` with the findings that have lesions,
            boxes in pixels of the network's image, and put ``localization`` into the summary, see
            :func:`monai_kd.handlers.localization_summary`; attach after ``ClassificationMetrics``.
        thresholds_path: write two thresholds per finding to this file, see
            :func:`monai_kd.metrics.choose_detection_thresholds`; meant for validation images. None:
            choose none.
    """

    def __init__(
        self,
        memory: RemembersMaps,
        folder: str | os.PathLike[str],
        findings: Sequence[str],
        *,
        radius: int = 4,
        share: float = 0.5,
        max_candidates: int = 20,
        write: bool = False,
        thresholds_path: str | os.PathLike[str] | None = None,
    ) -> None:
        self.memory = memory
        self.folder = Path(folder)
        self.findings = list(findings)
        self.radius = radius
        self.share = share
        self.max_candidates = max_candidates
        self.write = write
        self.thresholds_path = None if thresholds_path is None else Path(thresholds_path)
        self._films: list[FilmCandidates] = []
        self._finite = True
        self._tolerance = 0.0  # half a cell, in pixels of the network's image

    def attach(self, engine: Engine) -> None:
        """Look after every iteration; attach before what writes the summary.

        Args:
            engine: the evaluator, with ``decollate=False``.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        """Find the candidates of one batch.

        Args:
            engine: the evaluator.

        Raises:
            ValueError: if the maps are not those of the batch.
        """
        batch = engine.state.batch
        if "region_mask" not in batch or "label" not in batch:
            return
        drawn, scored = scored_findings(batch)
        if not scored.any():
            return
        prob = self._prob(scored)
        score, box, peak = self._candidates(prob, batch["region_mask"].shape[2:])
        for film, finding in scored.nonzero().tolist():
            used = (score[film, finding] > _LOWEST) & _there(batch, film, box[film, finding])
            known = bool(drawn[film, finding])
            mask = batch["region_mask"][film, finding]
            self._films.append(
                FilmCandidates(
                    index=int(batch["index"][film]),
                    name=film_name(batch, film),
                    patient_id=batch["patient_id"][film] if "patient_id" in batch else None,
                    finding=finding,
                    lesion_box=lesion_boxes(mask) if known else np.zeros((0, 4), np.float32),
                    peak=peak[film, finding][used],
                    box=box[film, finding][used],
                    score=score[film, finding][used],
                )
            )

    def _prob(self, scored: Tensor) -> Tensor:
        """Maps of the batch, ``(B, C, h, w)``; zeros where one is not finite."""
        logits = self.memory.map_logits
        if logits is None or logits.shape[:2] != scored.shape:
            got = "none" if logits is None else f"{list(logits.shape)}"
            raise ValueError(
                "DetectionMetrics: `memory` must hold the maps of the batch, "
                f"{list(scored.shape)} and their size, got {got}. Evaluate with this very memory "
                "as the network."
            )
        finite = logits.detach().isfinite().flatten(2).all(2)
        self._finite &= bool((finite.cpu() | ~scored).all())
        return logits.detach().float().masked_fill(~finite[..., None, None], -math.inf).sigmoid()

    def _candidates(self, prob: Tensor, size: Sequence[int]) -> tuple[FloatArray, ...]:
        """Scores, boxes and peaks in pixels of an image of so many rows and columns."""
        found = top_candidates(prob, self.radius, self.max_candidates, self.share)
        score, box, peak = (part.cpu().numpy() for part in found)
        cell = np.array([size[1] / prob.shape[3], size[0] / prob.shape[2]], np.float32)
        self._tolerance = max(self._tolerance, float(cell.max()) / 2)
        return score, box * np.tile(cell, 2), peak * cell

    def _start(self, engine: Engine) -> None:
        self._films, self._finite, self._tolerance = [], True, 0.0
        if self.write and is_main_process():
            remove_localization(self.folder)

    def _finish(self, engine: Engine) -> None:
        shares = gather_objects((self._films, self._finite, self._tolerance))
        films = films_by_finding(share for share, _, _ in shares)
        finite = all(of_process for _, of_process, _ in shares)
        matching: dict[str, Any] = {
            "rule": _RULE,
            "tolerance": max(of_process for _, _, of_process in shares),
        }
        self._films = []
        every = {column: (mine, match_films(mine, **matching)) for column, mine in films.items()}
        with_lesions = {column: pair for column, pair in every.items() if pair[1].lesions.any()}
        self._set_metrics(engine, with_lesions if finite else {})
        if not finite:
            _log.warning("The network answered with maps that are not numbers.")
        if not finite or not is_main_process():
            return
        if self.thresholds_path is not None:
            self._write_thresholds(self.thresholds_path, every)
        if self.write and with_lesions and getattr(engine.state, "summary", None):
            results = localize(self.folder, self.findings, with_lesions, **matching)
            engine.state.summary["localization"] = results

    def _set_metrics(self, engine: Engine, matched: _Matched) -> None:
        """The same in every process: it is what the best epoch is chosen by."""
        scores = {
            column: float(recall_at(froc_curve(found)).mean())
            for column, (_, found) in matched.items()
        }
        for column, finding in enumerate(self.findings):
            engine.state.metrics[f"val_froc_{slug(finding)}"] = scores.get(column, math.nan)
        mean = sum(scores.values()) / len(scores) if scores else math.nan
        engine.state.metrics["val_froc_score"] = mean

    def _write_thresholds(self, path: Path, matched: _Matched) -> None:
        nothing = DetectionThresholds(*[math.nan] * 6)
        chosen = {
            finding: choose_detection_thresholds(matched[column][1]).for_json()
            if column in matched
            else nothing.for_json()
            for column, finding in enumerate(self.findings)
        }
        warn_of_blindness([f for f, point in chosen.items() if point["dotted"]["recall"] == 0])
        points = {"findings": chosen, "radius": self.radius, "share": self.share}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(points, indent=1, allow_nan=False) + "\n")


def _there(batch: Mapping[str, Any], film: int, box: FloatArray) -> NDArray[Any]:
    """Whether each box, ``(K, 4)``, reaches into the film; all do where its size is not known."""
    if "stored_size" not in batch:
        return np.ones(len(box), np.bool_)
    rows, columns = batch["stored_size"][film].tolist()
    side = batch["region_mask"].shape[-1]
    return boxes_on_film(box, (rows, columns), spatial_size=side)[1]
