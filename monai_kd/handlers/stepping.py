# SPDX-License-Identifier: Apache-2.0
"""Whether this iteration ends in an optimizer step, when gradients are accumulated."""

from __future__ import annotations

from ignite.engine import Engine

__all__ = ["ends_in_optimizer_step", "optimizer_steps_before"]


def ends_in_optimizer_step(engine: Engine) -> bool:
    """Return whether the optimizer moves in the engine's present iteration.

    The answer follows MONAI's rule: every ``accumulation_steps`` iterations of an epoch, and at
    the end of the epoch, so nothing is left over.

    Args:
        engine: a MONAI ``SupervisedTrainer``.
    """
    every = getattr(engine, "accumulation_steps", 1)
    length = engine.state.epoch_length
    position = (
        engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
    )
    return bool(position % every == 0 or position == length)


def optimizer_steps_before(engine: Engine) -> int:
    """Return how often the optimizer has moved before the engine's present iteration.

    Args:
        engine: a MONAI ``SupervisedTrainer``.
    """
    every = int(getattr(engine, "accumulation_steps", 1))
    length: int | None = engine.state.epoch_length
    done = int(engine.state.iteration) - 1
    if length is None:
        return done // every
    return done // length * -(-length // every) + done % length // every
