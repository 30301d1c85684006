# SPDX-License-Identifier: Apache-2.0
"""One row per epoch in ``metrics.csv``, the same numbers for TensorBoard, and the curves."""

from __future__ import annotations

import csv
import io
import logging
import os
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor

from monai_kd.metrics import draw_curves
from monai_kd.utils import write_text_atomically
from monai_kd.utils.distributed import gather_objects, is_main_process

__all__ = ["RecordMetrics"]

_log = logging.getLogger(__name__)


class RecordMetrics:
    """Record the mean losses of each epoch, the schedules, and the validator's metrics.

    The losses are summed on the device and read once per epoch. ``metrics.csv`` is replaced in one
    step; a resumed run drops the rows of the epochs that it repeats. TensorBoard events go to one
    file per run in ``tensorboard/<phase>/``, complete after each epoch; it hides what an earlier
    run said about the epochs that this one repeats. ``curves.png`` is drawn when training ends.

    Args:
        folder: the run directory.
        phase: ``"teacher"``, ``"student"`` and so on; several phases share one file.
        validator: engine whose ``state.metrics`` are recorded; None records only the training.
        schedules: names that handlers write to ``engine.state``, e.g. ``"learning_rate"``.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        phase: str,
        validator: Engine | None = None,
        schedules: tuple[str, ...] = ("learning_rate", "feature_weight"),
    ) -> None:
        self.folder = Path(folder)
        self.phase = phase
        self.validator = validator
        self.schedules = tuple(schedules)
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._events: Path | None = None

    def attach(self, engine: Engine) -> None:
        """Add up after each iteration, write after each epoch, draw at the end.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.STARTED, self._begin_events)
        engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def __call__(self, engine: Engine) -> None:
        """Write this epoch's row.

        Args:
            engine: the trainer.
        """
        shares = gather_objects({name: float(total) for name, total in self._sums.items()})
        if not is_main_process():
            return
        row: dict[str, Any] = {"phase": self.phase, "epoch": engine.state.epoch}
        row |= {
            name: getattr(engine.state, name)
            for name in self.schedules
            if hasattr(engine.state, name)
        }
        row |= {
            name: sum(share[name] for share in shares) / (self._count * len(shares))
            for name in self._sums
        }
        if self.validator is not None:
            row |= self.validator.state.metrics
        self._write(row)
        self._write_events(row)
        told = {
            key: row[key]
            for key in ("train_loss", "val_cross_entropy", "val_macro_auroc")
            if key in row
        }
        words = ", ".join(f"{key} {value:.4f}" for key, value in told.items())
        _log.info("%s epoch %d of %d: %s", self.phase, row["epoch"], engine.state.max_epochs, words)

    def _forget(self, engine: Engine) -> None:
        self._sums, self._count = {}, 0

    def _add(self, engine: Engine) -> None:
        parts = getattr(getattr(engine, "objective", None), "parts", {})
        now = {"train_loss": engine.state.output["loss"].detach()}
        now |= {f"train_{name}_loss": value.detach() for name, value in parts.items()}
        for name, value in now.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
        self._count += 1

    def _write(self, row: dict[str, Any]) -> None:
        path = self.folder / "metrics.csv"
        rows = [earlier for earlier in _read(path) if _stays(earlier, row)]
        rows.append({name: _short(value) for name, value in row.items()})
        names = list(dict.fromkeys(name for entry in rows for name in entry))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_text_atomically(path, text.getvalue())

    def _begin_events(self, engine: Engine) -> None:
        self._events = None

    def _write_events(self, row: dict[str, Any]) -> None:
        """Append to this run's event file; it is open only here, whatever ends the training.

        ``SummaryWriter`` would put the computer's name into the file's.
        """
        from tensorboard.compat.proto.event_pb2 import (  # type: ignore[import-untyped]
            Event,
            SessionLog,
        )
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
        from tensorboard.summary.writer.record_writer import (  # type: ignore[import-untyped]
            RecordWriter,
        )

        now = time.time()
        step = int(row["epoch"])
        values = [
            Summary.Value(tag=name, simple_value=float(value))
            for name, value in row.items()
            if name not in ("phase", "epoch")
        ]
        events = [Event(wall_time=now, step=step, summary=Summary(value=values))]
        if self._events is None:
            folder = self.folder / "tensorboard" / self.phase
            folder.mkdir(parents=True, exist_ok=True)
            self._events = folder / f"events.out.tfevents.{now:.6f}"  # read in this order
            purge = SessionLog(status=SessionLog.START)  # of this step and later ones
            events.insert(0, Event(wall_time=now, step=step, session_log=purge))
            events.insert(0, Event(wall_time=now, file_version="brain.Event:2"))
        with self._events.open("ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())

    def _draw(self, engine: Engine) -> None:
        if is_main_process() and (self.folder / "metrics.csv").exists():
            draw_curves(self.folder / "metrics.csv", self.folder / "curves.png")


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _stays(earlier: dict[str, str], row: dict[str, Any]) -> bool:
    return earlier["phase"] != row["phase"] or int(earlier["epoch"]) < int(row["epoch"])


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
