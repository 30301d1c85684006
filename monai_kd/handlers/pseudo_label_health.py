# SPDX-License-Identifier: Apache-2.0
"""Are the teacher's maps any good? Watched while the student learns from them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor

from monai_kd.handlers.device_sums import DeviceSums
from monai_kd.handlers.phase_table import append_row
from monai_kd.handlers.pseudo_label_rules import PseudoLabelWarnings
from monai_kd.metrics import draw_health
from monai_kd.utils.distributed import is_main_process

__all__ = ["PseudoLabelHealth"]

_log = logging.getLogger(__name__)
_SHARES = {
    "above_center": ("above_center", "pseudo_maps"),
    "peak": ("peak", "pseudo_maps"),
    "sharpened_mass": ("sharpened_mass", "teacher_mass"),
    "precision": ("called_mass_inside", "called_mass"),
}


class PseudoLabelHealth:
    """Write ``health.csv`` while a detector learns from its teacher's maps, and warn in words.

    Reads ``engine.objective.health``, sums of one batch by finding, and ``parts`` after each
    iteration without waiting for the device, and looks at them every ``every`` iterations. Pseudo
    maps are those of films that have the finding and on which nobody drew it. A row has ``phase``
    and ``iteration``, and of the iterations since the last one:

    - ``pseudo_maps``: how many there were, of all findings;
    - ``distillation_share``: of the loss, what the pseudo maps bring in, after weighting;
    - ``above_center_<finding>``: share of the pseudo maps in which the teacher's peak is above the
      center; aals changes only these;
    - ``peak_<finding>``: mean peak of the teacher;
    - ``sharpened_mass_<finding>``: what sharpening adds, in shares of what the teacher gave;
    - ``precision_<finding>``: of what the pseudo labels hold to be the finding, the share inside
      the regions that were drawn but hidden from the training.

    A cell is empty where nobody can tell. The file is replaced in one step; a resumed run drops the
    rows that it repeats. When training ends it looks once more, if iterations are left over, and
    draws ``health.png``. After ``burn_in`` it warns, once for each thing and finding, when the
    teacher's peak is never above the center, when the precision is below 0.1, and when the
    distillation is more than 95% of the loss. It never stops the training: what cannot be written
    or drawn is said, once, and left.

    Args:
        folder: the run directory; None writes nothing.
        findings: names of the C findings.
        every: iterations between two looks, at least 1.
        burn_in: iterations before anything is warned of; at most a quarter of all.
        patience: looks in a row that have to agree before a warning; at most as many as there are
            after ``burn_in``.
        phase: name of this part of the training; several share one file.
        center: of the sharpening, in (0, 1); only for the words.

    Attributes:
        rows: those of this process since it began.

    Raises:
        ValueError: if a number is too small.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        findings: Sequence[str],
        *,
        every: int = 20,
        burn_in: int = 100,
        patience: int = 3,
        phase: str = "second_stage",
        center: float = 0.4,
    ) -> None:
        if every < 1 or patience < 1 or burn_in < 0:
            raise ValueError(
                "PseudoLabelHealth: `every` and `patience` must be at least 1, `burn_in` at least "
                f"0, got {every}, {patience} and {burn_in}. The defaults are 20, 3 and 100."
            )
        self.folder = None if folder is None else Path(folder)
        self.findings = list(findings)
        self.every = every
        self.burn_in = burn_in
        self.patience = patience
        self.phase = phase
        self.rows: list[dict[str, Any]] = []
        self._sums = DeviceSums()
        self._looked: int | None = None  # iteration of the last look, None if it is not known
        self._failed: set[str] = set()
        self._warnings = PseudoLabelWarnings(findings, center=center, patience=patience)

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen since the last look, for a checkpoint: a resumed run sees it too."""
        return {
            "sums": self._sums.state_dict(),
            "warnings": self._warnings.state_dict(),
            "looked": self._looked,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Args:
            state: what :meth:`state_dict` returned.
        """
        sums: dict[str, Tensor] = state["sums"]
        mine = is_main_process()  # whose sums were those of all, see `_collect`
        self._sums.load_state_dict({k: v if mine else v * 0 for k, v in sums.items()})
        self._warnings.load_state_dict(state["warnings"])
        self._looked = state.get("looked")

    def attach(self, engine: Engine) -> None:
        """Watch every iteration; attach before what saves the run.

        Args:
            engine: the trainer; its ``objective`` is the loss.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._look)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def __call__(self, engine: Engine) -> None:
        """Note this iteration; look, if it is time.

        Args:
            engine: the trainer.
        """
        objective = getattr(engine, "objective", None)
        health: Mapping[str, Tensor] = getattr(objective, "health", {})
        if "pseudo_maps" in health:
            self._note(health, objective)
        if engine.state.iteration % self.every == 0:
            self._look(engine)

    def _start(self, engine: Engine) -> None:
        if engine.state.iteration == 0:  # unless a checkpoint is loaded, which says where it was
            self._looked = 0

    def _note(self, health: Mapping[str, Tensor], objective: Any) -> None:
        """Add up one iteration; names that are missing count as 0, so that all processes agree."""
        self._warnings.sharpening = getattr(objective, "sharpening", "aals")
        nothing = health["pseudo_maps"] * 0
        for name in dict.fromkeys(name for pair in _SHARES.values() for name in pair):
            self._sums.add(name, health.get(name, nothing))
        parts: Mapping[str, Tensor] = getattr(objective, "parts", {})
        taught = parts.get("distillation", nothing.sum()) * objective.distillation_weight
        self._sums.add("distillation", taught)
        self._sums.add("loss", taught + parts.get("supervised", 0))

    def _look(self, engine: Engine) -> None:
        iteration, sums = int(engine.state.iteration), self._sums.read()
        if not sums:
            return  # nothing is distilled in this phase, or since the last look
        maps = sums["pseudo_maps"].reshape(-1).tolist()
        row = self._row(iteration, sums)
        self.rows.append(row)
        if self.folder is not None and is_main_process():
            path, since = self.folder / "health.csv", self._looked
            self._tried("written", lambda: append_row(path, row, since=since))
        self._looked = iteration
        burn_in, self._warnings.patience = self._waits(engine)
        if iteration <= burn_in:
            return
        for sentence in self._warnings.look(row, maps):
            if is_main_process():
                _log.warning("Iteration %d: %s", iteration, sentence)

    def _row(self, iteration: int, sums: Mapping[str, Tensor]) -> dict[str, Any]:
        maps = sums["pseudo_maps"].reshape(-1).tolist()
        row: dict[str, Any] = {
            "phase": self.phase,
            "iteration": iteration,
            "pseudo_maps": round(sum(maps)),
            "distillation_share": float(sums["distillation"] / sums["loss"]),
        }
        for name, (part, whole) in _SHARES.items():
            shares = (sums[part] / sums[whole]).reshape(-1).tolist()  # 0 / 0 is NaN: nobody knows
            row |= {f"{name}_{f}": share for f, share in zip(self.findings, shares, strict=True)}
        return row

    def _waits(self, engine: Engine) -> tuple[int, int]:
        """Return the burn-in and the patience, less than was asked for in a short phase."""
        state = engine.state
        if not state.max_epochs or not state.epoch_length:
            return self.burn_in, self.patience
        iterations = state.max_epochs * state.epoch_length
        burn_in = min(self.burn_in, iterations // 4)
        looks = -(-iterations // self.every) - burn_in // self.every
        return burn_in, max(1, min(self.patience, looks))

    def _tried(self, done: str, do: Callable[[], None]) -> None:
        """Write or draw; training is worth more than its health's table."""
        try:
            do()
        except Exception as error:  # a full disk, a table of something else, a picture
            if done not in self._failed:
                self._failed.add(done)
                _log.warning(
                    "The health of the pseudo labels could not be %s (%s). Training goes on.",
                    done,
                    type(error).__name__,
                )

    def _collect(self, engine: Engine) -> None:
        self._sums.collect()

    def _draw(self, engine: Engine) -> None:
        if self.folder is None or not is_main_process():
            return
        table, picture = self.folder / "health.csv", self.folder / "health.png"
        if table.exists():
            self._tried("drawn", lambda: draw_health(table, picture))
