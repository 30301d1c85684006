# SPDX-License-Identifier: Apache-2.0
"""A run that has lost its way stops, and says where the last good state is."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_kd.utils import MonaiKDError

__all__ = ["StopOnNaN"]


class StopOnNaN:
    """Stop training when the loss is not a finite number.

    On a CPU every iteration is looked at. On a GPU looking means waiting, so the losses are
    watched on the device and looked at every ``every`` iterations, and always at the end of an
    epoch, before anything is saved: attach this handler first.

    Args:
        every: iterations between two looks on a GPU.
    """

    def __init__(self, *, every: int = 50) -> None:
        self.every = every
        self._lost: Tensor | None = None

    def attach(self, engine: Engine) -> None:
        """Watch every iteration, and look again at the end of each epoch.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.look)

    def _forget(self, engine: Engine) -> None:
        """Another training may use the same engine."""
        self._lost = None

    def __call__(self, engine: Engine) -> None:
        """Note whether this iteration's loss is finite.

        Args:
            engine: the trainer.
        """
        lost = ~torch.isfinite(engine.state.output["loss"].detach()).all()
        self._lost = lost if self._lost is None else self._lost | lost
        if lost.device.type == "cpu" or engine.state.iteration % self.every == 0:
            self.look(engine)

    def look(self, engine: Engine) -> None:
        """Raise if a loss since the last look was not finite.

        Args:
            engine: the trainer.

        Raises:
            MonaiKDError: with the place, the parts of the loss, and what to do.
        """
        if self._lost is None or not bool(self._lost):
            return
        parts = getattr(getattr(engine, "objective", None), "parts", {})
        values = ", ".join(f"{name} {float(value):.4g}" for name, value in parts.items())
        raise MonaiKDError(
            f"Training stopped: the loss is not a finite number in epoch {engine.state.epoch}, "
            f"iteration {engine.state.iteration} (parts: {values or 'unknown'}). The checkpoint of "
            f"epoch {engine.state.epoch - 1} is untouched. Lower `learning_rate` or set "
            "`precision` to float32, then go on with `resume` true."
        )
