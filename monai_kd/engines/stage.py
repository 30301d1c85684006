# SPDX-License-Identifier: Apache-2.0
"""What is trained at the moment, and how far it is: the schedules of one stage.

Optimizer, centre and schedules restart with each stage (method section 2.5). The handlers keep
asking the same object; the engine of the rounds begins the next stage on it.
"""

from __future__ import annotations

from monai_kd.engines.methods import Method
from monai_kd.utils import cosine

__all__ = ["Stage"]


class Stage:
    """The schedules of one stage, pure functions of counts.

    Args:
        learning_rate: peak, above 0.
        minimum_learning_rate: where the cosine ends.
        warm_up_epochs: epochs in which the learning rate climbs from 0, at least 0.

    Attributes:
        name: ``"start"``, ``"initial"``, ``"round_1"`` and so on.
        method: how it is trained.
        epochs: its length.
        steps_per_epoch: optimizer steps of an epoch.
        epoch: the present one, from 1.
    """

    def __init__(
        self,
        *,
        learning_rate: float,
        minimum_learning_rate: float = 1e-6,
        warm_up_epochs: int = 1,
    ) -> None:
        self.minimum_learning_rate = minimum_learning_rate
        self.warm_up_epochs = warm_up_epochs
        self.peak = learning_rate
        self.name = ""
        self.method: Method | None = None
        self.epochs = 1
        self.steps_per_epoch = 1
        self.epoch = 1

    def begin(
        self, name: str, *, method: Method, epochs: int, steps_per_epoch: int, learning_rate: float
    ) -> None:
        """Start the schedules anew.

        Args:
            name: of the stage.
            method: how it is trained.
            epochs: its length.
            steps_per_epoch: optimizer steps of an epoch.
            learning_rate: peak.
        """
        self.name, self.method, self.epochs = name, method, epochs
        self.steps_per_epoch, self.peak = steps_per_epoch, learning_rate
        self.epoch = 1

    def current_epoch(self) -> int:
        """Return the present epoch, from 1; correction passes belong to the epoch they are in."""
        return self.epoch

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole stage, those of the correction passes not counted."""
        return self.epochs * self.steps_per_epoch

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate: linear warm-up, then half a cosine.

        Args:
            step: from 0.
        """
        warm_up = min(self.warm_up_epochs * self.steps_per_epoch, self.steps - 1)
        schedule = cosine(self.peak, self.minimum_learning_rate, steps=self.steps, warm_up=warm_up)
        return schedule(step)

    def momentum_at(self, iteration: int) -> float:
        """Return the share of the teacher that stays, on its way to 1.

        Args:
            iteration: from 1, as engines count.
        """
        method = self._method
        end = method.momentum_end
        return cosine(method.momentum, end, steps=self.steps)(iteration - 1)

    def pseudo_label_weight_at(self, epoch: int) -> float:
        """Return the weight of the self-training part (alpha).

        Args:
            epoch: from 0.
        """
        return self._method.pseudo_label_weight(epoch, self.epochs)

    def self_supervision_weight_at(self, epoch: int) -> float:
        """Return 1, or 0 once the epochs of self-supervision are over.

        Args:
            epoch: from 0.
        """
        return float(epoch < self._method.self_supervision_epochs)

    @property
    def _method(self) -> Method:
        if self.method is None:
            raise RuntimeError(
                "Stage: a stage must have begun before its schedules are asked, got none. Call "
                "`begin` first."
            )
        return self.method
