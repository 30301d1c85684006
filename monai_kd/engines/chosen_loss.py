# SPDX-License-Identifier: Apache-2.0
"""One trainer for several methods: the loss it minimises is chosen for each stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["ChosenLoss"]


class ChosenLoss:
    """Pass every question on to the loss that has been chosen last.

    Handlers read ``parts`` and ``health`` here, whatever the method of the moment is.

    Attributes:
        loss: the chosen one, called by name; None before the first choice.
    """

    def __init__(self) -> None:
        self.loss: Callable[..., Tensor] | None = None

    def choose(self, loss: Callable[..., Tensor]) -> None:
        """Minimise another loss from now on.

        Args:
            loss: called by name with the answers of the networks and the targets.
        """
        self.loss = loss

    def __call__(self, **named: Tensor) -> Tensor:
        """Return the scalar loss.

        Args:
            named: answers of the networks and targets, see the losses.

        Raises:
            RuntimeError: if none has been chosen.
        """
        if self.loss is None:
            raise RuntimeError(
                "ChosenLoss: a loss must be chosen before training, got none. Call `choose` first."
            )
        return self.loss(**named)

    def set_pseudo_label_weight(self, value: float) -> None:
        """Weigh what the teacher says, if the loss of the moment listens to it.

        Args:
            value: factor of that part of the loss, at least 0.
        """
        self._set("pseudo_label_weight", value)

    def set_self_supervision_weight(self, value: float) -> None:
        """Switch self-supervision on or off, if the loss of the moment has it.

        Args:
            value: 1 or 0.
        """
        self._set("self_supervision_weight", value)

    def _set(self, name: str, value: float) -> None:
        if hasattr(self.loss, name):
            setattr(self.loss, name, value)

    @property
    def parts(self) -> dict[str, Tensor]:
        """Scalars of the last call, see the loss."""
        return getattr(self.loss, "parts", {})

    @property
    def health(self) -> dict[str, Any]:
        """What the health monitor reads, empty for losses without a teacher."""
        return getattr(self.loss, "health", {})

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher has to be asked."""
        return bool(getattr(self.loss, "needs_teacher", True))

    @property
    def needs_projection(self) -> bool:
        """Whether local views and projections are wanted."""
        return bool(getattr(self.loss, "needs_projection", False))

    @property
    def needs_student_original(self) -> bool:
        """Whether the student has to see the untouched view, even without projections."""
        return bool(getattr(self.loss, "needs_student_original", False))
