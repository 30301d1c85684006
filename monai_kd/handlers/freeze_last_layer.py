# SPDX-License-Identifier: Apache-2.0
"""The prototypes stand still at first, so that the features find their place before them.

Source: Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021,
https://arxiv.org/abs/2104.14294 (``freeze_last_layer``); DISTL does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import Tensor

__all__ = ["FreezeLastLayer"]


class FreezeLastLayer:
    """Drop the gradients of some parameters during the first epochs.

    A parameter without a gradient is not touched by the optimizer: neither moved, nor decayed, nor
    are its moments.

    Args:
        parameters: usually those of the last layer of the projection head.
        epochs: for how many epochs from the start; 0 freezes nothing.
        epoch_of: returns the present epoch, from 1. For a trainer whose own epochs count something
            else, such as correction passes; by default the epoch of the trainer it is attached to.

    Raises:
        ValueError: if ``epochs`` is negative.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        epochs: int = 1,
        epoch_of: Callable[[], int] | None = None,
    ) -> None:
        if epochs < 0:
            raise ValueError(
                f"FreezeLastLayer: `epochs` must be at least 0, got {epochs}. 0 freezes nothing."
            )
        self.parameters = list(parameters)
        self.epochs = epochs
        self.epoch_of = epoch_of

    def attach(self, engine: Engine) -> None:
        """Run between the backward pass and the optimizer step.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Drop the gradients, if it is still early.

        Args:
            engine: the trainer.
        """
        epoch = engine.state.epoch if self.epoch_of is None else self.epoch_of()
        if epoch <= self.epochs:
            for parameter in self.parameters:
                parameter.grad = None
