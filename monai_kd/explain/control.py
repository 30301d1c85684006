# SPDX-License-Identifier: Apache-2.0
"""A network that has learned nothing, to see what a map owes to the architecture alone.

Source of the idea: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018,
https://arxiv.org/abs/1810.03292 (the model parameter randomization test).
"""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["with_random_weights"]

_FIRST_SEED = 20181008  # a training begins with a small one, and its first weights are no control


def with_random_weights(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Return a copy of a network with fresh random weights, the same for the same seed.

    Modules that have ``reset_parameters`` draw as they did before training; parameters that no
    such module owns (position embeddings, class tokens, scales of a layer) are shuffled, so that
    they keep their size and lose what they say. torch's random numbers are left as they were.

    Args:
        network: left as it is.
        seed: number of the control, from 0.
    """
    fresh = copy.deepcopy(network).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_FIRST_SEED + seed)
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                order = torch.randperm(parameter.numel())
                parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    first = next(network.parameters(), None)
    return fresh if first is None else fresh.to(first.device)
