# SPDX-License-Identifier: Apache-2.0
"""Time enters here, and only here: a schedule is asked, its answer is set."""

from __future__ import annotations

from collections.abc import Callable

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from monai_kd.handlers.stepping import optimizer_steps_before
from monai_kd.utils import Schedule, check_choice

__all__ = ["ScheduleHandler", "set_attribute", "set_learning_rate"]


class ScheduleHandler:
    """Set one value from a schedule, at the start of each iteration or epoch.

    Args:
        name: what the value is; it is also written to ``engine.state`` under this name.
        schedule: pure function of a count from 0, see :mod:`monai_kd.utils.schedules`.
        set_value: called with the value, see :func:`set_learning_rate`, :func:`set_attribute`.
        by: ``"epoch"`` or ``"iteration"``, what is counted. Iterations whose gradients are added up
            for one optimizer step count as one.

    Raises:
        ValueError: if ``by`` is another word.
    """

    def __init__(
        self,
        name: str,
        *,
        schedule: Schedule,
        set_value: Callable[[float], None],
        by: str = "epoch",
    ) -> None:
        check_choice("ScheduleHandler", "by", by, ("epoch", "iteration"))
        self.name = name
        self.schedule = schedule
        self.set_value = set_value
        self.by = by

    def attach(self, engine: Engine) -> None:
        """Run at the start of every epoch or iteration.

        Args:
            engine: the trainer.
        """
        event = Events.EPOCH_STARTED if self.by == "epoch" else Events.ITERATION_STARTED
        engine.add_event_handler(event, self)

    def __call__(self, engine: Engine) -> None:
        """Ask the schedule and set its answer.

        Args:
            engine: the trainer; its counts start at 1, the schedule's at 0.
        """
        by_epoch = self.by == "epoch"
        value = self.schedule(
            engine.state.epoch - 1 if by_epoch else optimizer_steps_before(engine)
        )
        self.set_value(value)
        setattr(engine.state, self.name, value)


def set_learning_rate(optimizer: Optimizer) -> Callable[[float], None]:
    """Return a function that sets the learning rate of every parameter group.

    Args:
        optimizer: changed in place. A group with an item ``lr_scale`` gets that multiple.
    """

    def set_value(value: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = value * group.get("lr_scale", 1.0)

    return set_value


def set_attribute(target: object, name: str) -> Callable[[float], None]:
    """Return a function that sets ``target.name``, e.g. the ``feature_weight`` of a loss.

    Args:
        target: changed in place.
        name: an attribute that it has.

    Raises:
        AttributeError: if it has none of that name.
    """
    if not hasattr(target, name):
        raise AttributeError(f"set_attribute: {type(target).__name__} has no attribute `{name}`.")
    return lambda value: setattr(target, name, value)
