# SPDX-License-Identifier: Apache-2.0
"""Our scores as MONAI metrics: fed batch by batch, from all processes, wrapped for Ignite.

MONAI's own ``ROCAUCMetric`` answers NaN as soon as one label is unknown or one class is absent, and
waits for ever when one process has no image.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from monai_kd.metrics.scores import SCORES
from monai_kd.utils import check_choice
from monai_kd.utils.distributed import gather_objects

__all__ = ["AUROCMetric", "ScoreMetric"]


class ScoreMetric(CumulativeIterationMetric):
    """One of :data:`monai_kd.metrics.SCORES` over all batches of all processes.

    Use it as any MONAI metric, or attach ``monai.handlers.IgniteMetricHandler(metric,
    output_transform=...)`` to an evaluator. Give each process other images (a
    ``DistributedSampler`` with ``even_divisible=False``): an image that two processes see counts
    twice. Shares may differ in size, and one may be empty.

    Args:
        name: ``"macro_auroc"``, ``"macro_auprc"``, ``"accuracy"``, ``"balanced_accuracy"``,
            ``"macro_f1"`` or ``"brier"``.
        activation: ``"softmax"`` or ``"sigmoid"``: what made the probabilities, and so how
            decisions are made. It is not applied here.

    Raises:
        ValueError: if ``name`` or ``activation`` is another word.

    Example:
        >>> metric = ScoreMetric("accuracy", activation="sigmoid")
        >>> _ = metric(torch.tensor([[0.9], [0.2]]), torch.tensor([[1.0], [float("nan")]]))
        >>> metric.aggregate().item()
        1.0
    """

    def __init__(self, name: str, *, activation: str) -> None:
        super().__init__()
        check_choice("ScoreMetric", "name", name, SCORES)
        check_choice("ScoreMetric", "activation", activation, ("softmax", "sigmoid"))
        self.name = name
        self.activation = activation

    def aggregate(self) -> Tensor:
        """Return the score, a scalar on the CPU; NaN where the labels cannot give it.

        All processes must ask, and all get the same.

        Raises:
            ValueError: if no process has seen an image, or a value is not a probability or label.
        """
        self._sync()
        buffers = self._synced_tensors
        if buffers is None:
            raise ValueError(
                f"{type(self).__name__}: `aggregate` must come after at least one batch, got none. "
                "Was the section empty?"
            )
        prob, label = (part for part in buffers if part is not None)
        if not bool(((prob >= 0) & (prob <= 1)).all()):
            raise ValueError(
                f"{type(self).__name__}: `y_pred` must be in [0, 1], got others or NaN. Apply the "
                "activation to the logits; a NaN means that training has diverged."
            )
        if not bool((label.isnan() | (label == 0) | (label == 1)).all()):
            raise ValueError(
                f"{type(self).__name__}: `y` must be 0, 1, or NaN for unknown, got other values. "
                "Class numbers must be made one-hot."
            )
        value, _ = SCORES[self.name](prob.numpy(), label.numpy(), activation=self.activation)
        return torch.tensor(value, dtype=torch.float64)

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> list[Tensor]:
        """Keep probabilities and labels, ``(B, C)`` or ``(B,)``, as they are."""
        if y is None or y.shape != y_pred.shape:
            got = None if y is None else tuple(y.shape)
            raise ValueError(
                f"{type(self).__name__}: `y` must have the shape of `y_pred`, "
                f"{tuple(y_pred.shape)}, got {got}. Class numbers must be made one-hot."
            )
        return [part.reshape(len(part), -1).double().cpu() for part in (y_pred, y)]

    def _sync(self) -> None:
        """Join what all processes have; unlike MONAI's, one of them may have nothing."""
        if self._synced:
            return
        mine = None if self._buffers is None else [torch.stack(part) for part in self._buffers]
        shares = [share for share in gather_objects(mine) if share is not None]
        joined: list[Tensor | None] = [torch.cat(parts) for parts in zip(*shares, strict=True)]
        self._synced_tensors = joined or None
        self._synced = True


class AUROCMetric(ScoreMetric):
    """Mean AUROC over the findings that have both classes; unknown labels (NaN) are left out.

    See :class:`ScoreMetric` for its use. NaN when no finding has both classes.

    Example:
        >>> metric = AUROCMetric()
        >>> _ = metric(torch.tensor([[0.9], [0.2], [0.4]]), torch.tensor([[1.0], [0.0], [0.0]]))
        >>> metric.aggregate().item()
        1.0
    """

    def __init__(self) -> None:
        super().__init__("macro_auroc", activation="sigmoid")
