# SPDX-License-Identifier: Apache-2.0
"""The head of DINO: an embedding becomes a direction, and prototypes are directions, too.

Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021,
https://arxiv.org/abs/2104.14294. The last product, projection times prototypes, is left to the
loss, which need not hold all of its numbers at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DINOHead"]


class DINOHead(nn.Module):
    """Project embeddings onto a sphere, and keep the prototypes they are compared with.

    Three linear layers with GELU between them; prototypes are the rows of a weight-normed linear
    layer without bias whose lengths stay 1. Parameter names are DINO's: ``mlp.0``, ``mlp.2``,
    ``mlp.4``, ``last_layer.weight_v`` and ``last_layer.weight_g`` (the lengths, not trained).

    Args:
        in_features: numbers of an embedding, D.
        prototypes: K.
        hidden: width of the layers between.
        bottleneck: numbers of a projection and of a prototype.
        batch_norm: whether the layers between have batch norm, as DINO's have for ResNets: their
            pooled features, all positive, point nearly the same way for all films. Vision
            transformers go without.

    Raises:
        ValueError: if one of them is below 1.
    """

    def __init__(
        self,
        in_features: int,
        *,
        prototypes: int = 65536,
        hidden: int = 2048,
        bottleneck: int = 256,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "prototypes": prototypes, "hidden": hidden}
        for name, size in (sizes | {"bottleneck": bottleneck}).items():
            if size < 1:
                raise ValueError(f"DINOHead: `{name}` must be at least 1, got {size}.")
        self.num_prototypes = prototypes
        layers: list[nn.Module] = []
        for width in (in_features, hidden):
            layers.append(nn.Linear(width, hidden))
            if batch_norm:
                layers.append(nn.BatchNorm1d(hidden))
            layers.append(nn.GELU())
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, bottleneck))
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last_layer = _Directions(prototypes, bottleneck)

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the projections, ``(N, bottleneck)``, of length 1, at least float32.

        Args:
            embedding: ``(N, D)``.
        """
        projected: Tensor = self.mlp(embedding)
        return F.normalize(projected.to(torch.promote_types(projected.dtype, torch.float32)))

    def prototypes(self) -> Tensor:
        """Return the prototypes, ``(K, bottleneck)``, of length 1, with their graph.

        Logits are ``projection @ prototypes.T``.
        """
        directions: Tensor = self.last_layer()
        return directions


class _Directions(nn.Module):
    """Rows of length 1. Nothing computed is kept, so that the layer can be copied."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(rows, 1), requires_grad=False)
        self.weight_v = nn.Parameter(torch.empty(rows, columns))
        nn.init.uniform_(self.weight_v, -(columns**-0.5), columns**-0.5)

    def forward(self) -> Tensor:
        return torch._weight_norm(self.weight_v, self.weight_g, 0)
