# SPDX-License-Identifier: Apache-2.0
"""Training without labels is watched: a collapse is seen in steps, not at the end."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from monai_kd.handlers.health_rules import Look, find_collapse
from monai_kd.handlers.health_signals import HealthWindow
from monai_kd.handlers.phase_table import append_row
from monai_kd.metrics import draw_health
from monai_kd.utils import TrainingCollapseError, check_choice
from monai_kd.utils.distributed import is_main_process, said_by_main_process

__all__ = ["HealthMonitor"]

_log = logging.getLogger(__name__)
_SINGLE = (
    "teacher_entropy",
    "prototypes_used",
    "information",
    "center_norm",
    "effective_rank",
    "similarity",
    "effective_temperature",
    "agreement",
)


class HealthMonitor:
    """Write ``health.csv`` while training, and stop when the network stops to tell films apart.

    Reads ``engine.objective.health`` after each iteration without waiting for the device, and
    looks at the mean every ``every`` iterations. A row has ``phase`` and ``iteration``, and, as far
    as the loss knows them:

    - ``teacher_entropy``: of the teacher's answers, as a share of the largest possible;
    - ``prototypes_used``: how many prototypes the films of the window share;
    - ``information``: mutual information between film and prototype in the window, in nats;
    - ``center_norm``: length of the center;
    - ``effective_rank``, ``similarity``: directions that the features use, mean cosine of two;
    - ``effective_temperature``: how flat the answers are, whatever the features, see
      :func:`monai_kd.metrics.effective_temperature`;
    - ``positive_<finding>``: share of the films whose pseudo label is positive;
    - ``probability_<finding>``: mean pseudo label;
    - ``drift``: largest difference of a positive rate from that of the labeled films;
    - ``agreement``: share of the decisions that student and teacher share.

    The file is replaced in one step; a resumed run drops the rows that it repeats. ``health.png``
    is drawn when training ends or is stopped.

    Args:
        folder: the run directory; None writes nothing.
        findings: names of the C findings.
        every: iterations between two looks, at least 1.
        patience: looks in a row that have to agree before training is stopped.
        burn_in: iterations of a phase before anything counts.
        labeled_rate: share of the labeled films that have each finding, C values in [0, 1]; None
            where unknown: then the pseudo labels are not judged.
        phase: ``"round_1"`` and so on; several phases share one file.
        on_collapse: ``"stop"`` raises, ``"warn"`` logs once per phase.

    Attributes:
        rows: those of this phase since the last :meth:`reset`.

    Raises:
        ValueError: if a number is too small, ``labeled_rate`` has another length than ``findings``,
            or ``on_collapse`` is another word.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        *,
        findings: Sequence[str],
        every: int = 20,
        patience: int = 3,
        burn_in: int = 100,
        labeled_rate: Sequence[float] | None = None,
        phase: str = "",
        on_collapse: str = "stop",
    ) -> None:
        check_choice("HealthMonitor", "on_collapse", on_collapse, ("stop", "warn"))
        if every < 1 or patience < 1 or burn_in < 0:
            raise ValueError(
                "HealthMonitor: `every` and `patience` must be at least 1, `burn_in` at least 0, "
                f"got {every}, {patience} and {burn_in}. The defaults are 20, 3 and 100."
            )
        if labeled_rate is not None and len(labeled_rate) != len(findings):
            raise ValueError(
                f"HealthMonitor: `labeled_rate` must have a value per finding, got "
                f"{len(labeled_rate)} for {len(findings)}. Leave it None if it is not known."
            )
        self.folder = None if folder is None else Path(folder)
        self.findings = list(findings)
        self.every = every
        self.patience = patience
        self.burn_in = burn_in
        self.labeled_rate = None if labeled_rate is None else [float(r) for r in labeled_rate]
        self.phase = phase
        self.on_collapse = on_collapse
        self.reset()

    def reset(self) -> None:
        """Forget what was seen, for another phase; what is written stays."""
        self.rows: list[dict[str, Any]] = []
        self._looks: list[Look] = []
        self._window = HealthWindow()
        self._warned = False

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen of this phase, for a checkpoint: a resumed run sees the same."""
        looks = [[look.iteration, look.signals] for look in self._looks]
        return {"looks": looks, "warned": self._warned, "window": self._window.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Args:
            state: what :meth:`state_dict` returned.
        """
        self._looks = [Look(iteration, signals) for iteration, signals in state["looks"]]
        self._warned = state["warned"]
        self._window.load_state_dict(state["window"])

    def attach(self, engine: Engine) -> None:
        """Watch every iteration; attach after what stops at a loss that is not a number.

        Args:
            engine: the trainer; its ``objective`` has ``health``, a dictionary of tensors.
        """
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def __call__(self, engine: Engine) -> None:
        """Note this iteration; look, if it is time.

        Args:
            engine: the trainer.

        Raises:
            TrainingCollapseError: if something collapsed and ``on_collapse`` is ``"stop"``.
        """
        health = getattr(getattr(engine, "objective", None), "health", {})
        self._window.add(health, films=_films(engine))
        if engine.state.iteration % self.every == 0:
            self._look(engine)

    def _look(self, engine: Engine) -> None:
        iteration = int(engine.state.iteration)
        signals = self._window.read()
        if not signals:
            return  # nothing of this phase says how it is
        self.rows.append(self._row(iteration, signals))
        if self.folder is not None and is_main_process():
            append_row(self.folder / "health.csv", self.rows[-1])
        if iteration <= self.burn_in:
            return
        self._looks.append(Look(iteration, signals))
        collapse = said_by_main_process(
            find_collapse(
                self._looks,
                findings=self.findings,
                labeled_rate=self.labeled_rate,
                patience=self.patience,
            )
        )
        if collapse is None or self._warned:
            return
        place = f" in {self.phase}" if self.phase else ""
        message = (
            f"the {collapse.kind} collapsed{place}, since iteration {collapse.since}: "
            f"{collapse.sentence}"
        )
        if self.on_collapse == "stop":
            self._draw(engine)
            raise TrainingCollapseError(f"Training stopped at iteration {iteration}: {message}")
        self._warned = True
        _log.warning("Iteration %d: %s", iteration, message)

    def _row(self, iteration: int, signals: dict[str, list[float]]) -> dict[str, Any]:
        row: dict[str, Any] = {"phase": self.phase, "iteration": iteration}
        row |= {name: signals[name][0] for name in _SINGLE if name in signals}
        for name in ("positive", "probability"):
            values = signals.get(f"pseudo_{name}", [])
            row |= {f"{name}_{f}": v for f, v in zip(self.findings, values, strict=False)}
        if self.labeled_rate is not None and "pseudo_positive" in signals:
            pairs = zip(signals["pseudo_positive"], self.labeled_rate, strict=True)
            known = [abs(ours - theirs) for ours, theirs in pairs if not math.isnan(theirs)]
            row |= {"drift": max(known)} if known else {}
        return row

    def _draw(self, engine: Engine) -> None:
        if self.folder is not None and is_main_process() and self.rows:
            draw_health(self.folder / "health.csv", self.folder / "health.png")


def _films(engine: Engine) -> int:
    """Return how many films the batch has, as its first tensor tells."""
    batch = engine.state.batch
    values = batch.values() if isinstance(batch, dict) else [batch]
    return next((len(v) for v in values if isinstance(v, torch.Tensor) and v.ndim), 1)
