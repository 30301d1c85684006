# SPDX-License-Identifier: Apache-2.0
"""The few films with labels set the student right, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Trainer
from torch import Tensor

from monai_kd.handlers.stepping import optimizer_steps_before
from monai_kd.utils import MonaiKDError

__all__ = ["CorrectionPass"]


class CorrectionPass:
    """Let another trainer, that of the labeled films, run now and then between two iterations.

    A pass starts before the optimizer steps number 0, ``every``, 2 ``every``, ... of the round. It
    takes place at the learning rate of that moment and leaves the teacher alone, unless the other
    trainer has a handler that moves it. Which films it sees, and in which order, follows from the
    number of the step alone, so a resumed run needs no state of it: pass number n takes the batches
    from ``n * batches`` on, counted through one order after the other.

    ``engine.state.correction_loss`` is the mean loss of the last pass.

    Args:
        trainer: shares network, optimizer and teacher with the trainer this is attached to, and has
            its own loader of the labeled films. The ``set_epoch`` of the loader's sampler is called
            before each order, from 1.
        every: optimizer steps from one pass to the next; 0: never.
        batches: of one pass; 0: all batches of the loader.
        first: run a pass before the first step too, as the published code does. Where the learning
            rate warms up from 0, it moves no weight, only the optimizer's moments and the center.

    Raises:
        ValueError: if ``every`` or ``batches`` is negative.
    """

    def __init__(
        self, trainer: Trainer, *, every: int, batches: int = 0, first: bool = False
    ) -> None:
        if every < 0 or batches < 0:
            raise ValueError(
                "CorrectionPass: `every` and `batches` must be at least 0, got "
                f"{every} and {batches}. 0 is no pass at all, and all batches of the loader."
            )
        self.trainer = trainer
        self.every = every
        self.batches = batches
        self.first = first
        self._order: Iterator[Any] | None = None
        self._position = 0
        self._loss: Tensor | None = None
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._add)

    def attach(self, engine: Engine) -> None:
        """Run before an iteration; attach after what sets the learning rate.

        Args:
            engine: the round's trainer.
        """
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Run a pass, if one is due.

        Args:
            engine: the round's trainer.

        Raises:
            MonaiKDError: if the labeled films do not fill a single batch.
        """
        if not self.every or not _begins_optimizer_step(engine):
            return
        number, rest = divmod(optimizer_steps_before(engine), self.every)
        if rest or (number == 0 and not self.first):
            return
        if hasattr(engine, "scaler"):
            self.trainer.scaler = engine.scaler  # one scale, found once
        self._run(number if self.first else number - 1)
        if self._loss is not None:
            engine.state.correction_loss = float(self._loss) / self.trainer.state.epoch_length

    def reset(self) -> None:
        """Begin the order of the labeled films anew, for another round or other films."""
        self._order, self._position = None, 0

    def _run(self, number: int) -> None:
        loader: Any = self.trainer.data_loader
        length = len(loader)
        if not length:
            raise MonaiKDError(
                "CorrectionPass: the labeled films must fill a batch, got fewer. "
                "Lower `batch_size` or label more films."
            )
        batches = self.batches or length
        state = self.trainer.state
        state.epoch, state.max_epochs = number, number + 1
        state.iteration, state.epoch_length = number * batches, batches
        self._loss = None
        # Not `Trainer.run`, which would make a new gradient scaler and take its own loader.
        if self._order is None or self._position != state.iteration:
            self._order = self._endless(state.iteration)
        Engine.run(self.trainer, islice(self._order, batches), max_epochs=number + 1)
        self._position = (number + 1) * batches
        if self._position % length == 0:
            self._order = None  # lets go of the loader's workers

    def _endless(self, start: int) -> Iterator[Any]:
        loader: Any = self.trainer.data_loader
        epoch, skipped = divmod(start, len(loader))
        while True:
            set_epoch = getattr(getattr(loader, "sampler", None), "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch + 1)
            yield from islice(loader, skipped, None)
            epoch, skipped = epoch + 1, 0

    def _add(self, engine: Engine) -> None:
        loss = engine.state.output["loss"].detach()
        self._loss = loss.clone() if self._loss is None else self._loss + loss


def _begins_optimizer_step(engine: Engine) -> bool:
    """Return whether no gradients of earlier iterations are waiting for the optimizer."""
    done, length = int(engine.state.iteration) - 1, engine.state.epoch_length
    position = done if length is None else done % int(length)
    return bool(position % int(getattr(engine, "accumulation_steps", 1)) == 0)
