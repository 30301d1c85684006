# SPDX-License-Identifier: Apache-2.0
"""Where the network looks on films that an expert marked: two numbers and a few pictures."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from ignite.engine import Engine, Events
from torch import Tensor, nn

from monai_kd.explain import grad_cam, mass_inside, overlay, pointing_game
from monai_kd.networks import GREY_MEAN, GREY_SD
from monai_kd.utils import slug, write_atomically

__all__ = ["DecisionRegions", "large_overlay", "save_png"]

_log = logging.getLogger(__name__)


class DecisionRegions:
    """Compare Grad-CAM with the expert's regions, and draw the maps.

    Every finding that is present and marked counts once. The summary gets ``decision_regions``:
    ``mass_inside``, the mean share of the map's mass inside the region; ``region_share``, the mean
    share of the film that the region covers, which a map without any aim would reach; and
    ``pointing_game``, how often the peak lies inside. Each comes with ``n``.

    Args:
        network: in two halves, see :func:`monai_kd.explain.grad_cam`.
        folder: gets ``pictures/<id>.png``; the salted id is all that names a film.
        pictures: how many films are drawn; 0 draws none.
        mean: subtracted when the image was normalized.
        sd: divided by when the image was normalized.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        folder: str | os.PathLike[str],
        pictures: int = 6,
        mean: float = GREY_MEAN,
        sd: float = GREY_SD,
    ) -> None:
        self.network = network
        self.folder = Path(folder) / "pictures"
        self.pictures = pictures
        self.mean = mean
        self.sd = sd
        self._rows: list[dict[str, float]] = []
        self._drawn = 0

    def attach(self, engine: Engine) -> None:
        """Look after every iteration; attach after ``ClassificationMetrics``, before the writer.

        Args:
            engine: the evaluator, with ``decollate=False``.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        """Look at the marked findings of one batch.

        Args:
            engine: the evaluator.
        """
        batch = engine.state.batch
        if "region_mask" not in batch:
            return
        mask, label = batch["region_mask"], batch["label"]
        marked = (label == 1) & batch["region_annotated"] & mask.flatten(2).any(2)
        film, finding = marked.nonzero(as_tuple=True)
        if not len(film):
            return
        image = engine.state.output["image"][film]
        region = mask[film, finding][:, None].to(image.device)
        cam = grad_cam(self.network, image, finding=finding)
        inside, hit = mass_inside(cam, region), pointing_game(cam, region)
        covered = region.flatten(1).mean(1)
        self._rows += [
            {"mass_inside": float(m), "region_share": float(c), "pointing_game": float(h)}
            for m, c, h in zip(inside, covered, hit, strict=True)
        ]
        names = batch.get("id") or [f"film_{number}" for number in batch["index"].tolist()]
        self._draw(image, cam, region, [names[position] for position in film.tolist()])

    def _forget(self, engine: Engine) -> None:
        self._rows, self._drawn = [], 0

    def _finish(self, engine: Engine) -> None:
        rows = [row for row in self._rows if not math.isnan(row["mass_inside"])]
        if not rows:
            return
        result: dict[str, Any] = {
            name: float(np.mean([row[name] for row in rows])) for name in rows[0]
        }
        engine.state.summary["decision_regions"] = result | {"n": len(rows)}
        _log.info(
            "Decision regions: %.3f of the map's mass lies inside the region (which covers %.3f of "
            "the film), peak inside in %.3f of %d.",
            result["mass_inside"],
            result["region_share"],
            result["pointing_game"],
            len(rows),
        )

    def _draw(self, image: Tensor, cam: Tensor, region: Tensor, names: list[str]) -> None:
        for row in range(min(len(names), self.pictures - self._drawn)):
            film = (image[row] * self.sd + self.mean).clamp(0, 1)
            picture = large_overlay(film, cam[row], region_mask=region[row])
            save_png(picture, self.folder / f"{slug(names[row])}.png")
            self._drawn += 1


def large_overlay(film: Tensor, cam: Tensor, *, region_mask: Tensor | None = None) -> Any:
    """Return :func:`monai_kd.explain.overlay`, at least 320 pixels wide, so that it can be read.

    Args:
        film: ``(1, H, W)`` in [0, 1].
        cam: heat map, same shape, in [0, 1].
        region_mask: 0 or 1, same shape.

    Returns:
        RGB picture, uint8, ``(H', W', 3)``.
    """
    scale = max(1.0, 320 / film.shape[-1])
    film, cam = (
        F.interpolate(part[None].float().cpu(), scale_factor=scale, mode="bilinear")[0, 0]
        for part in (film, cam)
    )
    if region_mask is not None:
        region_mask = F.interpolate(region_mask[None].float().cpu(), scale_factor=scale)[0, 0]
    return overlay(film.clamp(0, 1), cam.clamp(0, 1), region_mask=region_mask)


def save_png(picture: np.ndarray[Any, Any], path: Path) -> None:
    """Write an RGB picture as PNG, whole or not at all.

    Args:
        picture: ``(H, W, 3)``, uint8.
        path: file to write.
    """
    from PIL import Image

    write_atomically(path, lambda file: Image.fromarray(picture).save(file, format="PNG"))
