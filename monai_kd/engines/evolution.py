# SPDX-License-Identifier: Apache-2.0
"""The model evolves: self-supervised start, initial model, then one round after the other.

Source: Park et al., "Self-evolving vision transformer for chest X-ray diagnosis through knowledge
distillation", Nature Communications 13:3848, 2022. The gate and the comparators are ours.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_kd.engines.gate import judge_round, validation_score
from monai_kd.engines.methods import Method
from monai_kd.engines.stage_runner import StagePlan, StageRunner
from monai_kd.metrics import read_predictions
from monai_kd.utils import (
    TrainingCollapseError,
    check_choice,
    finish_model_files,
    read_json,
    write_atomically,
    write_text_atomically,
)
from monai_kd.utils.distributed import (
    done_by_main_process,
    is_main_process,
    said_by_main_process,
)

__all__ = ["RoundSettings", "SelfEvolution"]

_log = logging.getLogger(__name__)
_TABLES = {"student": "validation_predictions.csv", "teacher": "validation_predictions_teacher.csv"}


@dataclass(frozen=True)
class RoundSettings:
    """How many rounds, how long each stage, and what is handed over.

    Args:
        rounds: rounds of unlabeled films, at least 0.
        epochs: of a round.
        initial_epochs: of the initial model, on labeled films.
        start_epochs: of self-supervision on all films before it; 0: none.
        learning_rate: peak in a round.
        initial_learning_rate: peak in the initial stage.
        start_learning_rate: peak in the self-supervised start.
        correction_every: optimizer steps between two passes over the labeled films; 0: none;
            None: a quarter of an epoch.
        hand_over: ``"each"``: a round's teacher starts from the last teacher, its student from the
            last student; ``"student"`` or ``"teacher"``: both from that one. Round 1 starts both
            from the initial student.
        gate: whether a round that is worse on the validation films is rolled back.
        tolerance: see :func:`~monai_kd.engines.judge_round`.
        deliver: ``"student"`` or ``"teacher"``, which becomes ``model.pt``.

    Raises:
        ValueError: if a number or word is out of range.
    """

    rounds: int = 3
    epochs: int = 5
    initial_epochs: int = 5
    start_epochs: int = 0
    learning_rate: float = 5e-5
    initial_learning_rate: float = 5e-5
    start_learning_rate: float = 5e-4
    correction_every: int | None = None
    hand_over: str = "each"
    gate: bool = True
    tolerance: float = 0.05
    deliver: str = "student"

    def __post_init__(self) -> None:
        check_choice("RoundSettings", "hand_over", self.hand_over, ("each", "student", "teacher"))
        check_choice("RoundSettings", "deliver", self.deliver, ("student", "teacher"))
        least = {"rounds": 0, "epochs": 1, "initial_epochs": 1, "start_epochs": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(
                    f"RoundSettings: `{name}` must be at least {smallest}, got "
                    f"{getattr(self, name)}."
                )


class SelfEvolution:
    """Train the initial model and the rounds of one or several methods, from any interruption.

    Every finished stage has a folder with ``hand_over.pt`` (what the next one starts from),
    ``model.pt`` and ``teacher.pt``, its answers to the validation films, and ``finished.json``,
    which is written last. A stage that was cut off goes on from its last epoch. ``rounds.json`` in
    the run directory says what became of each round.

    Args:
        runner: trains the stages.
        methods: see :func:`~monai_kd.engines.make_methods`.
        arrivals: for each training film the round it comes in, 0 for the labeled ones.
        settings: of the rounds.
        activation: ``"softmax"`` or ``"sigmoid"``.
        folder: the run directory.
    """

    def __init__(
        self,
        runner: StageRunner,
        *,
        methods: Mapping[str, Method],
        arrivals: Sequence[int],
        settings: RoundSettings,
        activation: str,
        folder: str | os.PathLike[str],
    ) -> None:
        self.runner = runner
        self.methods = dict(methods)
        self.settings = settings
        self.activation = activation
        self.folder = Path(folder)
        self._count = [list(arrivals).count(number) for number in range(settings.rounds + 1)]

    def run(self, names: Sequence[str]) -> None:
        """Train the initial model, then the rounds of each method from it.

        Args:
            names: the first is the one that is delivered; the others go to
                ``comparators/<name>``. A comparator that collapses is noted and left.
        """
        self._train_initial()
        self._evolve(names[0], self.folder)
        done_by_main_process(lambda: finish_model_files(self.folder))
        for name in names[1:]:
            try:
                self._evolve(name, self.folder / "comparators" / name)
            except TrainingCollapseError as error:
                _log.warning("The comparator %s is left: %s", name, error)

    def _train_initial(self) -> None:
        settings, pool = self.settings, range(self.settings.rounds + 1)
        if settings.start_epochs:
            plan = StagePlan(
                "start",
                order=0,
                method=self.methods["start"],
                arrivals=pool,
                epochs=settings.start_epochs,
                learning_rate=settings.start_learning_rate,
            )
            self._stage(plan, self.folder / "start", self.folder, start=None)
        plan = StagePlan(
            "initial",
            order=1,
            method=self.methods["supervised"],
            arrivals=(0,),
            epochs=settings.initial_epochs,
            learning_rate=settings.initial_learning_rate,
        )
        start = self.folder / "start" if settings.start_epochs else None
        self._stage(plan, self.folder / "initial", self.folder, start=start, hand_over="student")

    def _evolve(self, name: str, folder: Path) -> None:
        method, initial = self.methods[name], self.folder / "initial"
        path = os.path.relpath(initial, folder).replace(os.sep, "/")
        entries = [self._entry(0, "initial", path, initial)]
        accepted, hand_over, delivered = initial, "student", 0
        for number in range(1, self.settings.rounds + 1):
            stage = folder / f"round_{number}"
            if not self._is_finished(stage):
                self._tell(name, folder, entries, delivered)
            try:
                self._stage(
                    self._plan(number, method), stage, folder, start=accepted, hand_over=hand_over
                )
            except TrainingCollapseError as error:
                self._tell(name, folder, entries, delivered, stopped=str(error))
                raise
            entry = self._entry(number, f"round {number}", stage.name, stage)
            entry |= self._judge([accepted, initial], stage)
            entries.append(entry)
            if entry["accepted"]:
                accepted, hand_over, delivered = stage, self.settings.hand_over, number
            self._say(name, entry)
        self._tell(name, folder, entries, delivered)
        _log.info("%s: delivered is the model of the %s.", name, _words(entries[delivered]))

    def _plan(self, number: int, method: Method) -> StagePlan:
        """Plan a round; those with labels alone take as many steps as distl takes in all."""
        arrived = sum(self._count[1 : number + 1])
        alone = method.correction is None and method.films != "unlabeled"
        return StagePlan(
            f"round_{number}",
            order=number + 1,
            method=method,
            arrivals=method.arrivals(number),
            epochs=self.settings.epochs,
            learning_rate=self.settings.learning_rate,
            films=arrived + self._corrected_films(arrived) if alone else 0,
            correction_every=self.settings.correction_every,
        )

    def _corrected_films(self, arrived: int) -> int:
        """How many labeled films the correction passes of an epoch see."""
        steps = self.runner.steps_on(arrived)
        every = self.runner.correction_interval(self.settings.correction_every, steps)
        return steps * self._count[0] // every if every else 0

    def _stage(
        self,
        plan: StagePlan,
        folder: Path,
        run_dir: Path,
        *,
        start: Path | None,
        hand_over: str = "each",
    ) -> None:
        """Train a stage, unless it is finished."""
        if self._is_finished(folder):
            _log.info("%s (%s): finished earlier.", plan.name, plan.method.name)
        else:
            if start is not None:
                self.runner.load(start, hand_over=hand_over)
            self.runner.train(plan, folder, run_dir=run_dir)
            if plan.name == "initial":  # its teacher is not used: round 1 starts both from here
                self.runner.teach_teacher()
            self.runner.save(folder)
            for which, name in _TABLES.items():
                self.runner.ask(which, folder / name)
        done_by_main_process(lambda: self._finish(folder))

    @staticmethod
    def _is_finished(folder: Path) -> bool:
        return said_by_main_process((folder / "finished.json").exists())

    def _finish(self, folder: Path) -> None:
        """Say that a stage is finished; what only its resuming needed goes."""
        if not (folder / "finished.json").exists():
            films = {"films": self.runner.films}
            write_text_atomically(folder / "finished.json", json.dumps(films) + "\n")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        (folder / "best.pt").unlink(missing_ok=True)

    def _judge(self, before: Sequence[Path], after: Path) -> dict[str, Any]:
        """Compare what is delivered of stages on the validation films.

        Small losses add up: a round must not be worse than the initial model either.
        """

        def decide() -> dict[str, Any]:
            name = _TABLES[self.settings.deliver]
            decisions = [
                judge_round(
                    read_predictions(folder / name),
                    read_predictions(after / name),
                    activation=self.activation,
                    tolerance=self.settings.tolerance,
                )
                for folder in dict.fromkeys(before)  # the initial model may be the one before
            ]
            reasons = [decision.reason for decision in decisions if not decision.accepted]
            if decisions[0].accepted and reasons:
                reasons = [f"against the initial model {reasons[0]}"]
            accepted = not reasons or not self.settings.gate
            return {
                "accepted": accepted,
                "reason": "" if accepted else reasons[0],
                "difference": decisions[0].for_json(),
            }

        return done_by_main_process(decide)

    def _entry(self, number: int, name: str, path: str, folder: Path) -> dict[str, Any]:
        def scores() -> dict[str, Any]:
            tables = {w: read_predictions(folder / table) for w, table in _TABLES.items()}
            return {
                which: {"macro_auroc": validation_score(table, activation=self.activation)}
                for which, table in tables.items()
            }

        return {
            "round": number,
            "name": name,
            "folder": path,
            "labeled": self._count[0],
            "unlabeled": sum(self._count[1 : number + 1]),
            "accepted": True,
            "reason": "",
            "validation": done_by_main_process(scores),
            "difference": None,
        }

    def _say(self, name: str, entry: dict[str, Any]) -> None:
        if not is_main_process():
            return
        told = entry["validation"][self.settings.deliver]["macro_auroc"]
        if told:
            words = "%s, %s: validation macro AUROC %.3f (%.3f to %.3f)."
            _log.info(words, name, entry["name"], *told)
        else:
            _log.warning("%s, %s: the validation films give no AUROC.", name, entry["name"])
        if not entry["accepted"]:
            _log.warning(
                "%s of %s is rolled back, %s.", entry["name"].capitalize(), name, entry["reason"]
            )

    def _tell(
        self,
        name: str,
        folder: Path,
        entries: list[dict[str, Any]],
        delivered: int,
        *,
        stopped: str = "",
    ) -> None:
        """Write what became of the rounds so far, and deliver the last one that was accepted."""
        content: dict[str, Any] = {"method": name, "delivered": delivered, "rounds": entries}
        if stopped:
            content["stopped"] = stopped
        start = self.folder / "start" / "finished.json"
        if self.settings.start_epochs:  # self-supervision saw the films of rounds to come
            content["start"] = {"epochs": self.settings.start_epochs, **(read_json(start) or {})}

        def write() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            self._deliver(folder / entries[delivered]["folder"], folder)
            if read_json(folder / "rounds.json") != content:
                text = json.dumps(content, indent=2) + "\n"
                write_text_atomically(folder / "rounds.json", text)

        done_by_main_process(write)

    def _deliver(self, source: Path, folder: Path) -> None:
        which = self.settings.deliver
        model = source / ("model.pt" if which == "student" else "teacher.pt")
        target = folder / "model.pt"
        if not target.exists() or target.read_bytes() != model.read_bytes():
            for stale in ("model.safetensors", "SHA256SUMS"):  # of an earlier, shorter training
                (folder / stale).unlink(missing_ok=True)
            _copy(model, target)
        _copy(source / _TABLES[which], folder / _TABLES["student"])


def _words(entry: Mapping[str, Any]) -> str:
    return "initial stage" if entry["round"] == 0 else str(entry["name"])


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    write_atomically(target, lambda file: file.write(content))
