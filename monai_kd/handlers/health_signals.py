# SPDX-License-Identifier: Apache-2.0
"""What a loss without labels says of itself, summed on the device over some iterations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from monai_kd.handlers.device_sums import DeviceSums
from monai_kd.metrics import (
    distribution_entropy,
    effective_rank,
    effective_temperature,
    mean_similarity,
    mutual_information,
)
from monai_kd.utils.distributed import world_size

__all__ = ["HealthWindow"]

_MEANS = (
    "teacher_entropy",
    "teacher_marginal",
    "center_norm",
    "pseudo_positive",
    "pseudo_probability",
    "agreement",
)


class HealthWindow:
    """Sum up ``loss.health`` iteration by iteration; bring it to the host once.

    Known are the entries ``teacher_entropy``, ``teacher_marginal`` ``(K,)``, ``center_norm``,
    ``features`` ``(N, D)``, ``pseudo_positive`` ``(C,)``, ``pseudo_probability`` ``(C,)`` and
    ``agreement``; any may be absent.
    """

    def __init__(self) -> None:
        self._sums = DeviceSums()
        self._counts: dict[str, int] = {}

    @torch.no_grad()
    def add(self, health: Mapping[str, Tensor], *, films: int = 1) -> None:
        """Add one iteration; no value is brought to the host.

        Args:
            health: of the loss's last call.
            films: in its batch.
        """
        for name in _MEANS:
            if name in health:
                self._add(name, health[name], films)
        features = health.get("features")
        if features is not None:
            features = features.detach().float()
            self._add("feature_total", features.sum(dim=0), len(features), weight=1)
            self._add("feature_gram", features.T @ features, len(features), weight=1)

    def read(self) -> dict[str, list[float]]:
        """Return the signals of all processes' iterations since the last call, and forget them.

        Returns:
            Lists of floats, of one value unless said otherwise: ``teacher_entropy`` as a share of
            the largest possible, ``prototypes_used`` (exp of the entropy of the mean answer),
            ``information`` (nats), ``center_norm``, ``effective_rank``, ``similarity``,
            ``effective_temperature``, ``pseudo_positive`` and ``pseudo_probability`` (C values
            each), ``agreement``, and ``films``, how many the last three are the mean of.
        """
        sums = self._sums.read()
        counts = {name: count * world_size() for name, count in self._counts.items()}
        self._counts = {}
        means = {name: sums[name] / counts[name] for name in _MEANS if name in sums}
        signals = {name: mean.reshape(-1).tolist() for name, mean in means.items()}
        marginal = signals.pop("teacher_marginal", None)
        if marginal is not None and "teacher_entropy" in means:
            entropy = float(means["teacher_entropy"])
            signals["teacher_entropy"] = [entropy / math.log(max(2, len(marginal)))]
            share = means["teacher_marginal"].numpy()
            signals["prototypes_used"] = [math.exp(distribution_entropy(share))]
            signals["information"] = [mutual_information(share, entropy)]
        if "feature_gram" in sums:
            signals["effective_rank"] = [effective_rank(sums["feature_gram"].numpy())]
            count = counts["feature_total"]
            signals["similarity"] = [mean_similarity(sums["feature_total"].numpy(), count)]
            if "information" in signals:
                signals["effective_temperature"] = [
                    effective_temperature(
                        signals["information"][0],
                        similarity=signals["similarity"][0],
                        dimensions=len(sums["feature_total"]),
                    )
                ]
        if "pseudo_probability" in counts:
            signals["films"] = [counts["pseudo_probability"]]
        return signals

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far, for a checkpoint."""
        return {"sums": self._sums.state_dict(), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Args:
            state: what :meth:`state_dict` returned.
        """
        self._sums.load_state_dict(state["sums"])
        self._counts = dict(state["counts"])

    def _add(self, name: str, value: Tensor, count: int, weight: int | None = None) -> None:
        self._sums.add(name, value.detach().float() * (count if weight is None else weight))
        self._counts[name] = self._counts.get(name, 0) + count
