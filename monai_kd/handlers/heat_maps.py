# SPDX-License-Identifier: Apache-2.0
"""Heat maps of new films, one PNG per film."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from monai_kd.explain import explain
from monai_kd.handlers.pictures import large_overlay, save_png
from monai_kd.networks import GREY_MEAN, GREY_SD
from monai_kd.utils import slug

__all__ = ["HeatMaps"]

_log = logging.getLogger(__name__)


class HeatMaps:
    """Draw where the network saw the finding that it holds to be most likely.

    The PNG is named ``<id>_<finding>.png``; the salted id is all that names a film.

    Args:
        network: see :func:`monai_kd.explain.explain`.
        folder: gets the pictures.
        findings: names of the C findings.
        mean: subtracted when the image was normalized.
        sd: divided by when the image was normalized.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        folder: str | os.PathLike[str],
        findings: Sequence[str],
        mean: float = GREY_MEAN,
        sd: float = GREY_SD,
    ) -> None:
        self.network = network
        self.folder = Path(folder)
        self.findings = list(findings)
        self.mean = mean
        self.sd = sd

    def attach(self, engine: Engine) -> None:
        """Draw after every iteration.

        Args:
            engine: the evaluator, with ``decollate=False``.
        """
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw the films of one batch; films that could not be read are left out.

        Args:
            engine: the evaluator.
        """
        batch, image = engine.state.batch, engine.state.output["image"]
        logits = engine.state.output["pred"]
        if not bool(logits.isfinite().all()):
            _log.warning("The network answered with values that are not numbers: no heat maps.")
            return
        finding = logits.argmax(dim=1)
        cam = explain(self.network, image, finding=finding)
        problems = batch.get("problem", [""] * len(image))
        for row, name in enumerate(batch["id"]):
            if problems[row]:
                continue
            film = (image[row] * self.sd + self.mean).clamp(0, 1)
            save_png(
                large_overlay(film, cam[row]),
                self.folder / f"{slug(name)}_{slug(self.findings[int(finding[row])])}.png",
            )
