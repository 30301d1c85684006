# SPDX-License-Identifier: Apache-2.0
"""The network of DISTL: one backbone, a head for the findings and one for self-supervision.

Source: Park et al., "Self-evolving vision transformer for chest X-ray diagnosis through knowledge
distillation", Nature Communications 13:3848, 2022, https://arxiv.org/abs/2202.06431
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_kd.networks.base import Backbone
from monai_kd.networks.dino_head import DINOHead

__all__ = ["DISTLNetwork"]

_GLOBAL_VIEWS = ("original", "noised")


class DISTLNetwork(nn.Module):
    """Answer about several views of a batch of films with logits and projections.

    The class head reads the two global views, the projector all views. All views of one size go
    through the backbone in one batch. Running statistics of batch norm are those of the global
    views, in the projector too: local views look otherwise, and neither the teacher nor anybody
    afterwards sees one.

    Args:
        network: backbone with its class head; kept, not copied. It alone is what is delivered.
        projector: for ``network.num_features`` numbers.
    """

    def __init__(self, network: Backbone, projector: DINOHead) -> None:
        super().__init__()
        self.network = network
        self.projector = projector

    def forward(self, views: Mapping[str, Tensor], project: bool = True) -> dict[str, Tensor]:
        """Return what the losses need of the views that are there.

        Args:
            views: ``"original"`` and ``"noised"``, ``(B, in_channels, H, W)``, at least one of
                them, and ``"local"``, ``(B, V, in_channels, h, w)``, or no such item.
            project: whether projections are wanted; without, local views are not looked at.

        Returns:
            ``"logits_original"`` and ``"logits_noised"``, ``(B, C)``, of the views that are there;
            with ``project`` also ``"projection"``, a row of length 1 per view and film, crop-major
            (all films of the original view, then of the noised, then of each local view), and
            ``"prototypes"``, ``(K, bottleneck)``.

        Raises:
            KeyError: if there is no global view.
        """
        names = [name for name in _GLOBAL_VIEWS if name in views]
        if not names:
            raise KeyError(
                f"DISTLNetwork: `views` must have one of {', '.join(_GLOBAL_VIEWS)}, got "
                f"{sorted(views)}. Add the transform that makes the views."
            )
        features = self.network.forward_features(_one_batch([views[name] for name in names]))
        logits = self.network.forward_head(features).chunk(len(names))
        answer = {f"logits_{name}": part for name, part in zip(names, logits, strict=True)}
        if project:
            projections = [self.projector(self.network.pool(features))]
            if "local" in views and views["local"].shape[1]:
                crop_major = views["local"].transpose(0, 1).flatten(0, 1)  # (V * B, ...)
                with _statistics_kept(self):
                    local = self.network.forward_features(crop_major)
                    projections.append(self.projector(self.network.pool(local)))
            answer["projection"] = _one_batch(projections)
            answer["prototypes"] = self.projector.prototypes()
        return answer


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let batch norm use the statistics of the batch, and remember nothing of them."""
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _one_batch(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
