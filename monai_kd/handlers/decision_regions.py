# SPDX-License-Identifier: Apache-2.0
"""Where the network looks on films that an expert marked: numbers with a control, and pictures."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from monai_kd.explain import (
    OVERLAP_THRESHOLDS,
    choose_method,
    explain,
    mass_inside,
    overlap_at_thresholds,
    pointing_game,
    with_random_weights,
)
from monai_kd.handlers.pictures import large_overlay, remove_pictures, save_png
from monai_kd.handlers.predictions import unread
from monai_kd.metrics import RegionAgreement, decision_region_summary
from monai_kd.networks import GREY_MEAN, GREY_SD
from monai_kd.utils import slug
from monai_kd.utils.distributed import gather_objects, is_main_process

__all__ = ["DecisionRegions"]

_log = logging.getLogger(__name__)


class DecisionRegions:
    """Compare the network's maps with the expert's regions, and draw them.

    Every finding that is present and marked counts once. The summary gets ``decision_regions``, see
    :func:`monai_kd.metrics.decision_region_summary`: mass inside the region, the pointing game and
    the overlap, each with its interval and next to the same network with shuffled weights; and
    ``method``, how the maps were made.

    Args:
        network: see :func:`monai_kd.explain.explain`.
        folder: the run directory; gets ``pictures/<id>.png``, in place of those of an earlier
            evaluation. The salted id is all that names a film.
        pictures: how many films are drawn; 0 draws none.
        mean: subtracted when the image was normalized.
        sd: divided by when the image was normalized.
        method: see :func:`monai_kd.explain.explain`.
        controls: networks with shuffled weights, whose numbers are averaged film by film; one alone
            often has no map to show. 0 leaves the control out. Each costs as much as the network.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        folder: str | os.PathLike[str],
        pictures: int = 6,
        mean: float = GREY_MEAN,
        sd: float = GREY_SD,
        method: str = "auto",
        controls: int = 3,
    ) -> None:
        self.network = network
        self.folder = Path(folder) / "pictures"
        self.pictures = pictures
        self.mean = mean
        self.sd = sd
        self.method = choose_method(network, method)
        self.controls = controls
        self._random: list[nn.Module] = []
        self._rows: list[dict[str, Any]] = []
        self._drawn: list[Path] = []

    def attach(self, engine: Engine) -> None:
        """Look after every iteration; attach after ``ClassificationMetrics``, before the writer.

        Args:
            engine: the evaluator, with ``decollate=False``.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        """Look at the marked findings of one batch; films that could not be read are left out.

        Args:
            engine: the evaluator.
        """
        batch = engine.state.batch
        finite = bool(engine.state.output["pred"].isfinite().all())
        if "region_mask" not in batch or not finite:
            return  # of a network that has diverged nothing is said
        mask, label = batch["region_mask"], batch["label"]
        marked = (label == 1) & batch["region_annotated"] & mask.flatten(2).any(2)
        marked &= ~unread(batch, len(marked)).to(marked.device)[:, None]
        film, finding = marked.nonzero(as_tuple=True)
        if not len(film):
            return
        image = engine.state.output["image"][film]
        region = mask[film, finding][:, None].to(image.device)
        cam = explain(self.network, image, finding=finding, method=self.method)
        numbers = _agreement(cam, region)
        control = self._control(image, region, finding)
        covered = region.flatten(1).mean(1).tolist()
        index = torch.as_tensor(batch["index"]).tolist()
        patients = batch.get("patient_id") or [None] * len(index)
        for row, (position, column) in enumerate(zip(film.tolist(), finding.tolist(), strict=True)):
            self._rows.append(
                {
                    "case": (index[position], column),
                    "patient_id": patients[position],
                    "region_share": covered[row],
                    "ours": [part[row] for part in numbers],
                    "control": [part[row] for part in control] if control else None,
                }
            )
        names = batch.get("id") or [f"film_{number}" for number in index]
        self._draw(image, cam, region, [names[position] for position in film.tolist()])

    def _control(self, image: Tensor, region: Tensor, finding: Tensor) -> list[Any] | None:
        """Mean over the random networks that have a map."""
        if not self.controls:
            return None
        if not self._random:
            self._random = [
                with_random_weights(self.network, seed=number) for number in range(self.controls)
            ]
        each = [
            _agreement(explain(other, image, finding=finding, method=self.method), region)
            for other in self._random
        ]
        return [torch.stack(parts).nanmean(0) for parts in zip(*each, strict=True)]

    def _start(self, engine: Engine) -> None:
        self._rows, self._drawn = [], []
        remove_pictures(self.folder)

    def _finish(self, engine: Engine) -> None:
        self._random = []
        rows = {row["case"]: row for share in gather_objects(self._rows) for row in share}
        cases = [rows[case] for case in sorted(rows)]
        if not engine.state.summary:  # of a diverged network nothing is said, and nothing shown
            for picture in self._drawn:
                picture.unlink(missing_ok=True)
            return
        if not cases:
            return
        patients = [row["patient_id"] for row in cases]
        result = decision_region_summary(
            _stacked([row["ours"] for row in cases]),
            control=_stacked([row["control"] for row in cases]) if self.controls else None,
            thresholds=OVERLAP_THRESHOLDS,
            region_share=[row["region_share"] for row in cases],
            patient_id=None if None in patients else patients,
        )
        if not result:
            return
        engine.state.summary["decision_regions"] = result | {"method": self.method}
        _log.info(
            "Decision regions: %.3f of the map's mass lies inside the region (which covers %.3f of "
            "the film; shuffled weights: %s), peak inside in %.3f of %d.",
            result["mass_inside"],
            result["region_share"],
            _rounded(result.get("control", {}).get("mass_inside")),
            result["pointing_game"],
            result["n"],
        )

    def _draw(self, image: Tensor, cam: Tensor, region: Tensor, names: list[str]) -> None:
        if not is_main_process():
            return
        for row in range(min(len(names), self.pictures - len(self._drawn))):
            film = (image[row] * self.sd + self.mean).clamp(0, 1)
            picture = large_overlay(film, cam[row], region_mask=region[row])
            self._drawn.append(self.folder / f"{slug(names[row])}.png")
            save_png(picture, self._drawn[-1])


def _agreement(cam: Tensor, region: Tensor) -> list[Tensor]:
    """Mass, hit and overlaps on the CPU; NaN where the map is empty."""
    mass = mass_inside(cam, region)
    hit = torch.where(mass.isnan(), torch.nan, pointing_game(cam, region).to(mass))
    return [part.double().cpu() for part in (mass, hit, overlap_at_thresholds(cam, region))]


def _stacked(cases: list[list[Tensor]]) -> RegionAgreement:
    mass, hit, iou = (torch.stack(parts).numpy() for parts in zip(*cases, strict=True))
    return RegionAgreement(mass=mass, hit=hit, iou=iou)


def _rounded(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
