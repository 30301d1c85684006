# SPDX-License-Identifier: Apache-2.0
"""How well the network points at lesions: candidates from its heat maps against what was drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_kd.explain import explain
from monai_kd.handlers.localization_tables import (
    FilmCandidates,
    films_by_finding,
    localize,
    match_films,
    remove_localization,
)
from monai_kd.handlers.predictions import probabilities, unread
from monai_kd.metrics import candidate_boxes, find_candidates
from monai_kd.utils.distributed import gather_objects, is_main_process

__all__ = ["Localization", "film_name", "lesion_boxes", "scored_findings"]

_LOWEST = 0.001  # score below which a peak is no candidate: it could only be a false positive
_MOST = 20  # candidates of one map


class Localization:
    """Turn heat maps into candidates, hold them against the lesions that were drawn, and write it.

    The heat map of a finding is its map, see :func:`monai_kd.explain.explain`, times its
    probability; its peaks are the candidates. The lesions are the connected parts of the region.
    A film is scored for a finding that is absent from it, and for one that is present and drawn;
    where the finding is present and nobody drew it, nobody knows what a candidate is worth.
    Findings without any lesion are left out, and so are films that could not be read.

    The summary gets ``localization`` by finding, see
    :func:`monai_kd.handlers.localization_summary`; the run directory ``candidates.csv`` and
    ``lesions.csv``, with boxes in pixels of the network's image.

    Args:
        network: see :func:`monai_kd.explain.explain`.
        folder: the run directory.
        findings: names of the C findings.
        activation: ``"softmax"`` or ``"sigmoid"``.
        radius_share: distance within which only the highest peak counts, as a share of the image's
            shorter side, in (0, 1].
        rule: when a candidate hits a lesion, see :func:`monai_kd.metrics.match_candidates`.
        method: how the maps are made, see :func:`monai_kd.explain.explain`.
        drawn: findings that an expert drew somewhere in the section, see
            :func:`monai_kd.data.drawn_findings`: no other has lesions, so that no map of another is
            worth making. None: nobody knows, and maps of all findings are made.

    Raises:
        ValueError: if ``radius_share`` is out of range.
    """

    def __init__(
        self,
        network: nn.Module,
        folder: str | os.PathLike[str],
        findings: Sequence[str],
        *,
        activation: str,
        radius_share: float = 1 / 16,
        rule: str = "center",
        method: str = "auto",
        drawn: Sequence[str] | None = None,
    ) -> None:
        if not 0 < radius_share <= 1:
            raise ValueError(
                f"Localization: `radius_share` must be in (0, 1], got {radius_share}. It is a "
                "share of the image's side; 1/16 is a good start."
            )
        self.network = network
        self.folder = Path(folder)
        self.findings = list(findings)
        self.activation = activation
        self.radius_share = radius_share
        self.rule = rule
        self.method = method
        self._may_have_lesions = torch.tensor([drawn is None or f in drawn for f in self.findings])
        self._films: list[FilmCandidates] = []

    def attach(self, engine: Engine) -> None:
        """Look after every iteration; attach after ``ClassificationMetrics``, before the writer.

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
        """
        batch, output = engine.state.batch, engine.state.output
        if "region_mask" not in batch or "label" not in batch:
            return
        drawn, scored = scored_findings(batch)
        scored &= self._may_have_lesions
        columns = scored.any(0).nonzero()[:, 0]
        if not len(columns):
            return
        heat = self._heat(output, scored, columns)
        radius = max(1, round(self.radius_share * min(heat.shape[2:])))
        place, score = find_candidates(heat, radius=radius, threshold=_LOWEST, max_candidates=_MOST)
        box = candidate_boxes(heat, place).numpy()
        for film, finding in scored.nonzero().tolist():
            mine = ((place[:, 0] == film) & (columns[place[:, 1]] == finding)).numpy()
            mask = batch["region_mask"][film, finding] * bool(drawn[film, finding])
            self._films.append(
                FilmCandidates(
                    index=int(batch["index"][film]),
                    name=film_name(batch, film),
                    patient_id=batch["patient_id"][film] if "patient_id" in batch else None,
                    finding=finding,
                    lesion_box=lesion_boxes(mask),
                    peak=place[mine][:, [3, 2]].float().numpy() + np.float32(0.5),
                    box=box[mine],
                    score=score[mine].numpy(),
                )
            )

    def _heat(self, output: dict[str, Tensor], scored: Tensor, columns: Tensor) -> Tensor:
        """Maps times probabilities on the CPU, ``(B, K, H, W)``, of K findings; 0 if not scored."""
        prob = probabilities(output["pred"].detach(), self.activation).cpu().nan_to_num()
        image = output["image"]
        heat = torch.zeros(len(image), len(columns), *image.shape[2:])
        chosen = scored.any(1) & output["pred"].isfinite().all(1).cpu()
        if not chosen.any():
            return heat
        asked = image[chosen.to(image.device)]
        finding = columns.expand(len(asked), -1)
        heat[chosen] = explain(self.network, asked, finding=finding, method=self.method).cpu()
        return heat * (prob * scored)[:, columns, None, None]

    def _start(self, engine: Engine) -> None:
        self._films = []
        if is_main_process():
            remove_localization(self.folder)

    def _finish(self, engine: Engine) -> None:
        films = films_by_finding(gather_objects(self._films))
        self._films = []
        if not is_main_process() or not engine.state.summary:
            return
        matched = {
            column: (mine, match_films(mine, rule=self.rule))
            for column, mine in films.items()
            if any(len(film.lesion_box) for film in mine)
        }
        if matched:
            results = localize(self.folder, self.findings, matched, rule=self.rule)
            engine.state.summary["localization"] = results


def scored_findings(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return where an expert drew a region, and which films are scored for which finding.

    Args:
        batch: with ``label``, ``region_mask`` and ``region_annotated``; ``problem`` if any film
            could not be read.

    Returns:
        ``drawn`` and ``scored``, bool, ``(B, C)``, on the CPU. Scored are films without the finding
        and those where it is present and drawn.
    """
    drawn = batch["region_mask"].flatten(2).any(2) & batch["region_annotated"]
    scored = torch.where(drawn, batch["label"] != 0, batch["label"] == 0).cpu()
    return drawn.cpu(), scored & ~unread(batch, len(scored))[:, None]


def lesion_boxes(mask: Tensor) -> NDArray[np.float32]:
    """Return the box of each connected part of a region; touching corners connect.

    Args:
        mask: 0 or 1, ``(H, W)``.

    Returns:
        ``x_min, y_min, x_max, y_max`` in pixels, maxima exclusive, ``(L, 4)``, from top to bottom.

    Example:
        >>> mask = torch.zeros(4, 6)
        >>> mask[0, 0] = mask[2:4, 3:5] = 1
        >>> lesion_boxes(mask).tolist()
        [[0.0, 0.0, 1.0, 1.0], [3.0, 2.0, 5.0, 4.0]]
    """
    from scipy import ndimage

    part, _ = ndimage.label((mask > 0).cpu().numpy(), structure=np.ones((3, 3)))
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(part)]
    return np.array(boxes, np.float32).reshape(-1, 4)


def film_name(batch: Mapping[str, Any], film: int) -> str:
    """Return the salted id of one film of a batch, or its number where the items carry none.

    Args:
        batch: with ``id`` or ``index``.
        film: place in the batch.
    """
    return str(batch["id"][film]) if "id" in batch else f"film_{int(batch['index'][film])}"
