# SPDX-License-Identifier: Apache-2.0
"""How good features are, without training anything on them: ask the nearest films.

Source: Wu et al., "Unsupervised feature learning via non-parametric instance discrimination",
CVPR 2018, https://arxiv.org/abs/1805.01978; DINO's evaluation uses the same weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["knn_scores"]

_ROWS = 1024  # films asked about at a time, so that memory stays small


@torch.no_grad()
def knn_scores(
    train_features: Tensor,
    train_labels: Tensor,
    features: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    r"""Return the labels of the k most similar films, weighted by how similar they are.

    .. math:: s_c = \sum_i w_i \, y_{ic} / \sum_i w_i, \quad w_i = \exp(\cos(f, f_i) / \tau)

    over the k films with the largest cosine among those whose label is known, finding by finding.

    Args:
        train_features: of the labeled films, ``(M, D)``.
        train_labels: 1, 0, or NaN for unknown, ``(M, C)``.
        features: of the films asked about, ``(N, D)``.
        k: neighbors, at least 1; with fewer labeled films, all of them.
        temperature: :math:`\tau`, above 0; the larger, the more alike the weights.

    Returns:
        Scores in [0, 1], ``(N, C)``, float32; NaN for findings whose label is nowhere known.

    Raises:
        ValueError: if shapes do not fit, or a number is out of range.

    Example:
        >>> near, far = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> knn_scores(torch.cat([near, far]), torch.tensor([[1.0], [0.0]]), near, k=1)
        tensor([[1.]])
    """
    _check(train_features, train_labels, features, k, temperature)
    train, labels = F.normalize(train_features.float()), train_labels.float()
    columns = []
    for label in labels.unbind(dim=1):
        known = ~label.isnan()
        if not bool(known.any()):
            columns.append(torch.full((len(features),), torch.nan, device=features.device))
            continue
        candidates, truth = train[known], label[known]
        parts = [
            _ask(candidates, truth, rows, min(k, len(truth)), temperature)
            for rows in torch.split(F.normalize(features.float()), _ROWS)
        ]
        columns.append(torch.cat(parts) if parts else features.new_zeros(0, dtype=torch.float32))
    return torch.stack(columns, dim=1)


def _ask(train: Tensor, truth: Tensor, rows: Tensor, k: int, temperature: float) -> Tensor:
    cosine, nearest = (rows @ train.T).topk(k, dim=1)
    weight = (cosine / temperature).softmax(dim=1)  # the common factor falls out
    score: Tensor = (weight * truth[nearest]).sum(dim=1)
    return score


def _check(train: Tensor, labels: Tensor, features: Tensor, k: int, temperature: float) -> None:
    if k < 1 or temperature <= 0:
        raise ValueError(
            f"knn_scores: `k` must be at least 1 and `temperature` above 0, got {k} and "
            f"{temperature}. 20 and 0.07 are usual."
        )
    if labels.ndim != 2 or len(labels) != len(train):
        raise ValueError(
            f"knn_scores: `train_labels` must have a row per film, got {tuple(labels.shape)} for "
            f"{len(train)} films. Give labels of the shape (films, findings)."
        )
    if train.ndim != 2 or features.ndim != 2 or train.shape[1] != features.shape[1]:
        raise ValueError(
            f"knn_scores: `features` must have as many columns as `train_features`, got "
            f"{tuple(features.shape)} and {tuple(train.shape)}. Take both from one network."
        )
