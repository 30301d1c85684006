# SPDX-License-Identifier: Apache-2.0
"""A network that knows nothing, to see what a map owes to the architecture alone.

Source of the idea: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018,
https://arxiv.org/abs/1810.03292 (the model parameter randomization test, all layers at once).
That the weights are shuffled, not drawn anew, is ours: no layer changes its scale.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["with_random_weights"]

_FIRST_SEED = 20181008


def with_random_weights(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Return a copy of a network whose weights are shuffled, the same for the same seed.

    The numbers of each parameter are dealt out anew within it: every layer keeps the mean and
    spread of its weights, and what they have learned to say together is gone. It is neither the
    network before its training, whose first weights nobody has kept, nor another drawing of them.
    Scales, shifts and running statistics of a normalization go together, channel by channel, so
    that signals neither fade nor explode. torch's random numbers are left as they were.

    Args:
        network: left as it is.
        seed: number of the control, from 0.
    """
    fresh = copy.deepcopy(network).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_FIRST_SEED + seed)
        for module in fresh.modules():
            _shuffle(module)
    first = next(network.parameters(), None)
    return fresh if first is None else fresh.to(first.device)


def _shuffle(module: nn.Module) -> None:
    """Shuffle the parameters that the module itself owns, and the statistics of a normalization."""
    together: dict[int, Tensor] = {}
    values: list[Tensor] = list(module.parameters(recurse=False))
    if getattr(module, "running_mean", None) is not None:
        values += [value for value in module.buffers(recurse=False) if value.ndim == 1]
    for value in values:
        order = torch.randperm(value.numel())
        if value.ndim == 1:  # one entry for each channel
            order = together.setdefault(len(value), order)
        value.copy_(value.flatten()[order].reshape(value.shape))
