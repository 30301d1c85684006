# SPDX-License-Identifier: Apache-2.0
"""When the teacher moves."""

from __future__ import annotations

from collections.abc import Callable

from ignite.engine import Engine, Events
from torch import nn

from monai_kd.handlers.stepping import ends_in_optimizer_step
from monai_kd.networks import EMATeacher

__all__ = ["EMATeacherHandler"]


class EMATeacherHandler:
    """Move the teacher towards the student after each optimizer step.

    The handler keeps no count of its own: momentum is a function of ``engine.state.iteration``,
    so a resumed run goes on where the checkpoint stopped.

    Args:
        teacher: moved in place.
        student: read, never written.
        momentum: share of the teacher that stays, in [0, 1]; a number, or a function of the
            iteration (from 1). Logged as ``engine.state.ema_momentum``.
    """

    def __init__(
        self,
        teacher: EMATeacher,
        student: nn.Module,
        *,
        momentum: float | Callable[[int], float] = 0.999,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.momentum = momentum

    def attach(self, engine: Engine) -> None:
        """Run on every ``ITERATION_COMPLETED`` that ended in an optimizer step.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Update the teacher once, unless gradients are still being collected.

        Args:
            engine: the trainer.
        """
        if not ends_in_optimizer_step(engine):
            return
        momentum = (
            self.momentum(engine.state.iteration) if callable(self.momentum) else self.momentum
        )
        self.teacher.update(self.student, momentum)
        engine.state.ema_momentum = momentum  # any name may be set
