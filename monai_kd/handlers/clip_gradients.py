# SPDX-License-Identifier: Apache-2.0
"""Gradients that are too long are shortened before the optimizer sees them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import Tensor

from monai_kd.handlers.stepping import ends_in_optimizer_step
from monai_kd.utils import check_choice

__all__ = ["ClipGradients", "clip_each_tensor"]


class ClipGradients:
    """Clip gradients by their L2 norm, after unscaling them where a gradient scaler is in use.

    Args:
        max_norm: longest norm allowed, above 0.
        norm_of: ``"all"`` takes the norm of all gradients together and keeps their direction;
            ``"each"`` treats every parameter tensor alone, as DINO and DISTL do.

    Raises:
        ValueError: if ``max_norm`` is not positive or ``norm_of`` is another word.
    """

    def __init__(self, max_norm: float, *, norm_of: str = "all") -> None:
        check_choice("ClipGradients", "norm_of", norm_of, ("all", "each"))
        if max_norm <= 0:
            raise ValueError(f"ClipGradients: `max_norm` must be above 0, got {max_norm}.")
        self.max_norm = max_norm
        self.norm_of = norm_of

    def attach(self, engine: Engine) -> None:
        """Run between the backward pass and the optimizer step.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip the gradients of the trainer's network, when the optimizer is about to move.

        Args:
            engine: the trainer.
        """
        if not ends_in_optimizer_step(engine):
            return
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            scaler.unscale_(engine.optimizer)
        parameters = list(engine.network.parameters())
        if self.norm_of == "all":
            torch.nn.utils.clip_grad_norm_(parameters, self.max_norm)
        else:
            clip_each_tensor(parameters, self.max_norm)


@torch.no_grad()
def clip_each_tensor(parameters: Iterable[Tensor], max_norm: float) -> None:
    """Scale each gradient whose own L2 norm exceeds ``max_norm`` by ``max_norm / (norm + 1e-6)``.

    On a CPU only the gradients that are too long are touched, which a usual step has few of. On a
    GPU no value is brought to the host, so it is not waited for.

    Args:
        parameters: tensors whose ``grad`` is changed in place; those without are left out.
        max_norm: longest norm allowed.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    if all(gradient.is_cpu for gradient in gradients):
        _clip_long_ones(gradients, max_norm)
        return
    factors = torch._foreach_add(torch._foreach_norm(gradients), 1e-6)
    torch._foreach_reciprocal_(factors)
    torch._foreach_mul_(factors, max_norm)
    torch._foreach_clamp_max_(factors, 1.0)
    torch._foreach_mul_(gradients, factors)


def _clip_long_ones(gradients: list[Tensor], max_norm: float) -> None:
    factors = [max_norm / (norm.item() + 1e-6) for norm in torch._foreach_norm(gradients)]
    for gradient, factor in zip(gradients, factors, strict=True):
        if not factor >= 1:  # NaN too
            gradient.mul_(factor)
