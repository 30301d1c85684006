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
    MonaiKDError,
    check_choice,
    finish_model_files,
    read_json,
    write_atomically,
    write_text_atomically,
)
from monai_kd.utils.distributed import is_main_process, said_by_main_process, wait_for_all

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
        for name in names[1:]:
            try:
                self._evolve(name, self.folder / "comparators" / name)
            except MonaiKDError as error:
                _log.warning("The comparator %s was stopped: %s", name, error)
        finish = self.folder / "model.pt"
        if is_main_process() and finish.exists():
            finish_model_files(self.folder)
        wait_for_all()

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
        self._tell(name, folder, entries, delivered)
        for number in range(1, self.settings.rounds + 1):
            stage = folder / f"round_{number}"
            plan = self._plan(number, method)
            self._stage(plan, stage, folder, start=accepted, hand_over=hand_over)
            entry = self._entry(number, f"round {number}", stage.name, stage)
            entry |= self._judge(accepted, stage)
            entries.append(entry)
            if entry["accepted"]:
                accepted, hand_over, delivered = stage, self.settings.hand_over, number
            else:
                _log.warning("Round %d of %s is rolled back, %s.", number, name, entry["reason"])
            self._tell(name, folder, entries, delivered)

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
        done = said_by_main_process((folder / "finished.json").exists())
        if done:
            _log.info("%s (%s): finished earlier.", plan.name, plan.method.name)
            return
        if start is not None:
            self.runner.load(start, hand_over=hand_over)
        self.runner.train(plan, folder, run_dir=run_dir)
        self.runner.save(folder)
        for which, name in _TABLES.items():
            self.runner.ask(which, folder / name)
        if is_main_process():
            films = {"films": self.runner.films}
            write_text_atomically(folder / "finished.json", json.dumps(films) + "\n")
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            (folder / "best.pt").unlink(missing_ok=True)
        wait_for_all()

    def _judge(self, before: Path, after: Path) -> dict[str, Any]:
        """Compare what is delivered of two stages on the validation films."""

        def decide() -> dict[str, Any]:
            name = _TABLES[self.settings.deliver]
            decision = judge_round(
                read_predictions(before / name),
                read_predictions(after / name),
                activation=self.activation,
                tolerance=self.settings.tolerance,
            )
            accepted = decision.accepted or not self.settings.gate
            reason = decision.reason if not accepted else ""
            return {"accepted": accepted, "reason": reason, "difference": decision.for_json()}

        return said_by_main_process(decide() if is_main_process() else {})

    def _entry(self, number: int, name: str, path: str, folder: Path) -> dict[str, Any]:
        score = {}
        if is_main_process():
            for which, table in _TABLES.items():
                value = validation_score(
                    read_predictions(folder / table), activation=self.activation
                )
                score[which] = {"macro_auroc": value}
        return {
            "round": number,
            "name": name,
            "folder": path,
            "labeled": self._count[0],
            "unlabeled": sum(self._count[1 : number + 1]),
            "accepted": True,
            "reason": "",
            "validation": score,
            "difference": None,
        }

    def _tell(self, name: str, folder: Path, entries: list[dict[str, Any]], delivered: int) -> None:
        """Write what became of the rounds so far, and deliver the last one that was accepted."""
        if not is_main_process():
            return
        folder.mkdir(parents=True, exist_ok=True)
        start = {"epochs": self.settings.start_epochs, "films": sum(self._count)}
        content = {"method": name, "delivered": delivered, "rounds": entries}
        if self.settings.start_epochs:
            content["start"] = start  # self-supervision saw the films of all rounds
        earlier = read_json(folder / "rounds.json")
        if earlier != content:
            write_text_atomically(folder / "rounds.json", json.dumps(content, indent=2) + "\n")
        for stale in ("model.safetensors", "SHA256SUMS"):  # of an earlier, shorter training
            (folder / stale).unlink(missing_ok=True)
        source = folder / entries[delivered]["folder"]
        which = self.settings.deliver
        files = {"model.pt": "model.pt" if which == "student" else "teacher.pt"}
        files |= {_TABLES["student"]: _TABLES[which]}
        for target, file in files.items():
            _copy(source / file, folder / target)
        told = entries[-1]["validation"].get(which, {}).get("macro_auroc")
        if told:
            stage = entries[-1]["name"]
            _log.info("%s, %s: validation macro AUROC %.3f (%.3f to %.3f).", name, stage, *told)


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    write_atomically(target, lambda file: file.write(content))
