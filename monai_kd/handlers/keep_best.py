# SPDX-License-Identifier: Apache-2.0
"""The model that is delivered: the best epoch on the validation images."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from monai_kd.utils import check_choice, finish_model_files, save_model
from monai_kd.utils.distributed import is_main_process

__all__ = ["KeepBest"]

_log = logging.getLogger(__name__)


class KeepBest:
    """Write ``model.pt`` whenever the validation metric is better than ever before.

    A metric that is not a number never counts as best. If no epoch had a usable one, the last
    weights are delivered and the log says so.

    Args:
        network: delivered network; its flat state dict is written.
        validator: engine whose ``state.metrics`` hold ``metric`` when the epoch ends.
        folder: gets ``model.pt``, and at the end ``model.safetensors`` and ``SHA256SUMS``.
        metric: name of the metric.
        mode: ``"min"`` or ``"max"``, which is better.

    Raises:
        ValueError: if ``mode`` is another word.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        validator: Engine,
        folder: str | os.PathLike[str],
        metric: str = "val_cross_entropy",
        mode: str = "min",
    ) -> None:
        check_choice("KeepBest", "mode", mode, ("min", "max"))
        self.network = network
        self.validator = validator
        self.folder = Path(folder)
        self.metric = metric
        self.mode = mode
        self.best_value = math.nan
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        """Compare after each epoch; attach after the ``ValidationHandler``.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def __call__(self, engine: Engine) -> None:
        """Keep this epoch's weights if they are the best so far.

        Args:
            engine: the trainer.
        """
        value = float(self.validator.state.metrics.get(self.metric, math.nan))
        if not self._is_better(value):
            return
        self.best_value, self.best_epoch = value, engine.state.epoch
        if is_main_process():
            for stale in ("model.safetensors", "SHA256SUMS"):  # of an earlier, shorter training
                (self.folder / stale).unlink(missing_ok=True)
            save_model(self.network, self.folder / "model.pt")

    def finish(self, engine: Engine) -> None:
        """Write the second format and the checksums; deliver the last weights if none was best.

        Args:
            engine: the trainer.
        """
        if not is_main_process():
            return
        if self.best_epoch == 0:
            _log.warning("`%s` was never a number: the last epoch's weights are kept.", self.metric)
            save_model(self.network, self.folder / "model.pt")
        else:
            _log.info("Best epoch: %d, %s %.4f", self.best_epoch, self.metric, self.best_value)
        finish_model_files(self.folder)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and its epoch, for a checkpoint."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Args:
            state: what :meth:`state_dict` returned.
        """
        self.best_value, self.best_epoch = state["best_value"], state["best_epoch"]

    def _is_better(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if math.isnan(self.best_value):
            return True
        return value < self.best_value if self.mode == "min" else value > self.best_value
