# SPDX-License-Identifier: Apache-2.0
"""Are the features getting better? The nearest labeled films are asked after each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_kd.metrics import auroc_and_influence, knn_scores
from monai_kd.networks import Backbone
from monai_kd.utils.distributed import gather_objects

__all__ = ["KNNProbe", "pooled_features"]


class KNNProbe:
    """Measure how well the nearest labeled films tell the findings of the validation films.

    Nothing is trained, so the number is about the features alone, whatever the class head does.
    Costs one pass of the network over both sections. ``validator.state.metrics`` gets the mean
    AUROC of the findings as ``name``, for :class:`~monai_kd.handlers.RecordMetrics`.

    Args:
        network: student or teacher, a backbone with its class head; left as it was.
        labeled: batches of the labeled films, in a fixed order, not augmented, with ``image`` and
            ``label``.
        films: batches of the validation films, likewise, with ``index``; several processes may
            have a share each.
        validator: engine whose metrics get the number.
        device: where the network is.
        k: neighbors, see :func:`monai_kd.metrics.knn_scores`.
        temperature: of the weights.
        every: epochs from one measurement to the next, at least 1.
        name: of the metric.

    Raises:
        ValueError: if ``every`` is below 1.
    """

    def __init__(
        self,
        network: Backbone,
        *,
        labeled: Iterable[Mapping[str, Any]],
        films: Iterable[Mapping[str, Any]],
        validator: Engine,
        device: torch.device | str = "cpu",
        k: int = 20,
        temperature: float = 0.07,
        every: int = 1,
        name: str = "val_knn_auroc",
    ) -> None:
        if every < 1:
            raise ValueError(f"KNNProbe: `every` must be at least 1, got {every}. It is in epochs.")
        self.network = network
        self.labeled = labeled
        self.films = films
        self.validator = validator
        self.device = device
        self.k = k
        self.temperature = temperature
        self.every = every
        self.name = name

    def attach(self, engine: Engine) -> None:
        """Measure after each epoch; attach after the validation and before what records it.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Measure now, if it is time.

        Args:
            engine: the trainer.
        """
        if engine.state.epoch % self.every:
            return
        known, labels = pooled_features(self.network, self.labeled, device=self.device)
        asked, truth = self._asked_films()
        scores = knn_scores(known, labels, asked, k=self.k, temperature=self.temperature)
        self.validator.state.metrics[self.name] = _mean_auroc(scores, truth)

    def _asked_films(self) -> tuple[Tensor, Tensor]:
        """Features and labels of the films of all processes, each film once."""
        numbers: list[Tensor] = []

        def films() -> Iterator[Mapping[str, Any]]:
            for batch in self.films:
                numbers.append(torch.as_tensor(batch["index"]).cpu())
                yield batch

        own = pooled_features(self.network, films(), device=self.device)
        shares = gather_objects((torch.cat(numbers), *own))
        index, asked, truth = (torch.cat(part) for part in zip(*shares, strict=True))
        once = torch.from_numpy(np.unique(index.numpy(), return_index=True)[1])
        return asked[once], truth[once]


@torch.no_grad()
def pooled_features(
    network: Backbone, batches: Iterable[Mapping[str, Any]], *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return what the class head reads of each film, and the films' labels.

    Args:
        network: asked in ``eval`` mode and put back into its mode.
        batches: with ``image`` ``(B, in_channels, H, W)`` and ``label`` ``(B, C)``.
        device: where the network is.

    Returns:
        Features ``(N, D)`` and labels ``(N, C)``, float32, on the host.
    """
    training = network.training
    network.eval()
    features, labels = [], []
    try:
        for batch in batches:
            image = torch.as_tensor(batch["image"]).to(device)
            features.append(network.pool(network.forward_features(image)).float().cpu())
            labels.append(torch.as_tensor(batch["label"]).float().cpu())
    finally:
        network.train(training)
    return torch.cat(features), torch.cat(labels)


def _mean_auroc(scores: Tensor, truth: Tensor) -> float:
    """Return the mean over the findings that have both positive and negative films, else NaN."""
    values = []
    for score, label in zip(scores.T.numpy(), truth.T.numpy(), strict=True):
        if math.isfinite(float(score.sum())):
            values.append(auroc_and_influence(score, label)[0])
    values = [value for value in values if not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan
