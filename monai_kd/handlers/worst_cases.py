# SPDX-License-Identifier: Apache-2.0
"""The films that the model got most wrong, to be looked at: nothing teaches more about it."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from monai_kd.explain import explain
from monai_kd.handlers.pictures import beside, large_overlay, save_png
from monai_kd.handlers.predictions import probabilities, unread
from monai_kd.metrics import METADATA
from monai_kd.networks import GREY_MEAN, GREY_SD
from monai_kd.utils.distributed import gather_objects, is_main_process

__all__ = ["WorstCases", "film_losses"]

_log = logging.getLogger(__name__)


@dataclass
class _Case:
    """One film, on the CPU; nothing in it names a patient."""

    loss: float
    index: int
    image: Tensor  # (channels, H, W), normalized
    regions: Tensor | None  # (C, H, W), 0 or 1
    label: list[float]
    prob: list[float]
    explained: int
    known: dict[str, Any]
    mapped: bool = False  # whether anything speaks for the finding


def film_losses(prob: Tensor, label: Tensor, activation: str) -> Tensor:
    """Return what each finding adds to the loss of each film.

    Args:
        prob: probabilities, ``(B, C)``.
        label: 1, 0, or NaN for unknown, ``(B, C)``.
        activation: ``"softmax"``: minus the logarithm of the true finding's probability;
            ``"sigmoid"``: binary cross-entropy of each finding.

    Returns:
        ``(B, C)``, at most about 16 each; NaN where the label is unknown, for softmax in the whole
        row.
    """
    prob = prob.double().clamp(1e-7, 1 - 1e-7)
    entropy = -(label * prob.log())
    if activation == "sigmoid":
        return entropy - (1 - label) * (1 - prob).log()
    return entropy.masked_fill(label.isnan().any(1, keepdim=True), torch.nan)


class WorstCases:
    """Draw the films with the highest loss, and say what the model said of them.

    The loss of a film is its cross-entropy; where findings do not exclude each other, the mean over
    those whose label is known. The summary gets ``worst_cases``, the worst first: ``picture`` (a
    file of ``<folder>/pictures/worst/``, without its ending), ``rank``, ``label`` and ``prob`` by
    finding, ``loss``, ``explained`` (the finding whose map is drawn), and sex, age, view and site
    where they are known; no ids. Drawn is the finding that adds most to the loss; among findings
    that exclude each other, the one that was predicted, unless an expert drew the true one.

    Args:
        network: see :func:`monai_kd.explain.explain`.
        folder: the run directory.
        findings: names of the C findings.
        activation: ``"softmax"`` or ``"sigmoid"``.
        films: how many are kept; more are never held in memory.
        mean: subtracted when the image was normalized.
        sd: divided by when the image was normalized.
    """

    def __init__(
        self,
        network: nn.Module,
        folder: str | os.PathLike[str],
        *,
        findings: Sequence[str],
        activation: str,
        films: int = 10,
        mean: float = GREY_MEAN,
        sd: float = GREY_SD,
    ) -> None:
        self.network = network
        self.folder = Path(folder) / "pictures" / "worst"
        self.findings = list(findings)
        self.activation = activation
        self.films = films
        self.mean = mean
        self.sd = sd
        self._kept: list[_Case] = []
        self._device = torch.device("cpu")

    def attach(self, engine: Engine) -> None:
        """Look after every iteration; attach after ``ClassificationMetrics``, before the writer.

        Args:
            engine: the evaluator, with ``decollate=False``.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        """Keep the films of one batch that are worse than those that are kept.

        Args:
            engine: the evaluator.
        """
        batch, output = engine.state.batch, engine.state.output
        if "label" not in batch or not self.films:
            return
        prob = probabilities(output["pred"].detach(), self.activation).cpu()
        losses = film_losses(prob, batch["label"].float().cpu(), self.activation)
        total = losses.sum(1) if self.activation == "softmax" else losses.nanmean(1)
        total = total.masked_fill(unread(batch, len(prob)), torch.nan)
        bar = self._kept[-1].loss if len(self._kept) >= self.films else -1.0
        self._device = output["image"].device
        new = [
            self._case(batch, output["image"][row], row, prob=prob[row], losses=losses[row])
            for row, loss in enumerate(total.tolist())
            if loss > bar  # an unknown loss, NaN, is above nothing
        ]
        self._kept = _worst(self._kept + new, self.films)

    def _case(
        self, batch: dict[str, Any], image: Tensor, row: int, *, prob: Tensor, losses: Tensor
    ) -> _Case:
        label, regions = batch["label"][row].float().cpu(), _drawn_regions(batch, row)
        explained = int(losses.nan_to_num(-1).argmax())  # softmax: the true finding
        drawn = regions is not None and bool(regions[explained].any())
        softmax = self.activation == "softmax"
        if softmax and not drawn:
            explained = int(prob.argmax())
        return _Case(
            loss=float(losses.sum() if softmax else losses.nanmean()),
            index=int(batch["index"][row]),
            image=image.detach().float().cpu().clone(),
            regions=regions,
            label=label.tolist(),
            prob=prob.tolist(),
            explained=explained,
            known={key: value for key in METADATA if (value := _known(batch, key, row)) != ""},
        )

    def _start(self, engine: Engine) -> None:
        self._kept = []
        if is_main_process():
            for old in self.folder.glob("worst_*.png"):
                old.unlink()

    def _finish(self, engine: Engine) -> None:
        cases = [case for share in gather_objects(self._kept) for case in share]
        cases = _worst(list({case.index: case for case in cases}.values()), self.films)
        self._kept = []
        if not is_main_process() or not cases or not engine.state.summary:
            return
        self._draw(cases)
        engine.state.summary["worst_cases"] = [
            self._entry(rank, case) for rank, case in enumerate(cases, start=1)
        ]
        _log.info(
            "Worst cases: %d films drawn, the highest loss is %.3f", len(cases), cases[0].loss
        )

    def _draw(self, cases: list[_Case]) -> None:
        image = torch.stack([case.image for case in cases]).to(self._device)
        finding = torch.tensor([case.explained for case in cases])
        cam = explain(self.network, image, finding=finding).cpu()
        for row, case in enumerate(cases):
            region = None if case.regions is None else case.regions[case.explained][None]
            film = (case.image * self.sd + self.mean).clamp(0, 1)
            bare = large_overlay(film[:1], torch.zeros_like(cam[row]), region_mask=region)
            mapped = large_overlay(film[:1], cam[row], region_mask=region)
            case.mapped = bool(cam[row].any())
            save_png(beside(bare, mapped), self.folder / f"{_picture(row + 1)}.png")

    def _entry(self, rank: int, case: _Case) -> dict[str, Any]:
        label = [None if math.isnan(value) else int(value) for value in case.label]
        return {
            "picture": _picture(rank),
            "rank": rank,
            "label": dict(zip(self.findings, label, strict=True)),
            "prob": dict(zip(self.findings, case.prob, strict=True)),
            "loss": case.loss,
            "explained": self.findings[case.explained],
            "mapped": case.mapped,
            **case.known,
        }


def _worst(cases: list[_Case], films: int) -> list[_Case]:
    return sorted(cases, key=lambda case: (-case.loss, case.index))[:films]


def _picture(rank: int) -> str:
    return f"worst_{rank:02d}"


def _drawn_regions(batch: dict[str, Any], row: int) -> Tensor | None:
    if "region_mask" not in batch:
        return None
    drawn = batch["region_annotated"][row].view(-1, 1, 1)
    regions: Tensor = (batch["region_mask"][row] * drawn).to(torch.uint8).cpu()
    return regions


def _known(batch: dict[str, Any], key: str, row: int) -> Any:
    """What is known of a film, "" where nothing is."""
    value = batch[key][row] if key in batch else ""
    value = value.item() if isinstance(value, Tensor) else value
    unknown = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if unknown else value
