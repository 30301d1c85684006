# SPDX-License-Identifier: Apache-2.0
"""The runs of a bundle, one per seed: their commands, and which of them are done.

What a seed was started with stays beside it as hashes by name: knobs hold paths, which do not
belong into a run directory. A training goes on only with the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_kd import __version__
from monai_kd.cli.steps import Step, bundle_command
from monai_kd.utils import MonaiKDError, did_you_mean, read_json, sha256_of_file
from monai_kd.utils import write_text_atomically as write

__all__ = ["SeedRuns", "read_knobs"]

_OURS = ("seed", "output_dir", "resume", "bundle_root", "config_file")
_STARTED, _FINISHED = "started.json", "finished.json"
_HOW = ("dataset_dir", "cache_dir", "num_workers", "device")  # where and how, not what is trained


def read_knobs(words: Sequence[str]) -> dict[str, str]:
    """Return ``--NAME VALUE`` or ``--NAME=VALUE`` as values by name.

    Args:
        words: from the command line.

    Raises:
        MonaiKDError: if a name has no value, or a value no name.
    """
    knobs: dict[str, str] = {}
    left = list(words)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if not name.startswith("--") or not (equals or left):
            raise MonaiKDError(
                "seeds: knobs of the bundle must be given as `--NAME VALUE`, got "
                f"{'a name without a value' if name.startswith('--') else 'a value without a name'}"
                ". Put BUNDLE first."
            )
        knobs[name.removeprefix("--")] = value if equals else left.pop(0)
    return knobs


@dataclass(frozen=True)
class SeedRuns:
    """Trainings of one bundle with the same knobs, each with its own seed.

    Args:
        bundle: folder of the bundle; its ``train.json`` has the knobs ``seed``, ``output_dir`` and
            ``resume``.
        output: gets the run directories ``seed_0``, ``seed_1``, ...
        knobs: the bundle's settings by name, the same for each seed.

    Raises:
        MonaiKDError: if there is no such bundle, or it has no such knob.
    """

    bundle: Path
    output: Path
    knobs: Mapping[str, str]

    def __post_init__(self) -> None:
        if not all(path.is_file() for path in self._configs):
            raise MonaiKDError(
                "seeds: BUNDLE must hold configs/train.json and configs/evaluate.json, got a "
                "folder without. Give the folder of a bundle, such as "
                "bundles/cxr_hkd_classification."
            )
        missing = [name for name in ("seed", "output_dir", "resume") if name not in self._train]
        if missing:
            raise MonaiKDError(
                "seeds: the bundle's train.json must have the knobs `seed`, `output_dir` and "
                f"`resume`, got none of the name {missing[0]}. Add it to the bundle."
            )
        for name in self.knobs:
            self._check_knob(name)

    def folder(self, seed: int) -> Path:
        """Return the run directory.

        Args:
            seed: number of the seed.
        """
        return self.output / f"seed_{seed}"

    def steps(self, seed: int) -> list[Step]:
        """Return the commands that train and evaluate.

        What the run remembers of its training (``evaluate.json`` reads it back) is not given to the
        evaluation again.

        Args:
            seed: number of the seed.
        """
        always = {"bundle_root": self.bundle, "output_dir": self.folder(seed), "seed": seed}
        train = {name: v for name, v in self.knobs.items() if _top(name) in self._train}
        evaluate = {
            name: value
            for name, value in self.knobs.items()
            if _top(name) not in self._train or _top(name) not in self._evaluate
        }
        first, both = str(self._configs[0]), json.dumps([str(path) for path in self._configs])
        return [
            Step(f"Seed {seed}: train", bundle_command(first, {**train, **always, "resume": True})),
            Step(f"Seed {seed}: evaluate", bundle_command(both, {**evaluate, **always})),
        ]

    def is_finished(self, seed: int) -> bool:
        """Return whether the run is there, evaluated, and made with these settings.

        Args:
            seed: number of the seed.
        """
        path = self.folder(seed) / _FINISHED
        return path.is_file() and path.read_text(encoding="utf-8") == self._finished_mark(seed)

    def check(self, seed: int) -> None:
        """Refuse to go on with a training that was started otherwise.

        What the evaluation alone is told may change: it is then done again.

        Args:
            seed: number of the seed.

        Raises:
            MonaiKDError: if the run's training was started with other knobs, another configuration
                or datalist, or not by this command.
        """
        if not self._has_begun(seed):
            return
        before, now = _read_mark(self.folder(seed) / _STARTED), self._training()
        if before is None:
            raise _other_run(seed, "a run that this command has not started")
        names = dict.fromkeys([*before, *now])
        changed = [name for name in names if before.get(name) != now.get(name)]
        if "datalist" not in before and "datalist" in changed:
            changed.remove("datalist")  # the bundle has drawn it since
        if changed:
            raise _other_run(seed, f"another {', '.join(f'`{name}`' for name in changed)}")

    def start(self, seed: int) -> None:
        """Remember what the training is started with, unless it goes on.

        Args:
            seed: number of the seed.
        """
        path = self.folder(seed) / _STARTED
        if not self._has_begun(seed):
            write(path, json.dumps(self._training(), indent=2) + "\n")

    def finish(self, seed: int) -> None:
        """Remember that the run is finished.

        Args:
            seed: number of the seed.
        """
        write(self.folder(seed) / _FINISHED, self._finished_mark(seed))

    def _has_begun(self, seed: int) -> bool:
        return any((self.folder(seed) / name).exists() for name in ("config.json", "checkpoints"))

    def _finished_mark(self, seed: int) -> str:
        files = [self.folder(seed) / name for name in ("evaluation.json", "predictions.csv")]
        made = [sha256_of_file(path) if path.is_file() else "missing" for path in files]
        evaluate = sha256_of_file(self._configs[1])
        content = [__version__, sorted(self.knobs.items()), evaluate, self._training()]
        return json.dumps({"settings": _sha256(content), "evaluation": made}) + "\n"

    def _training(self) -> dict[str, str]:
        """What decides the outcome of a training, hashed, by name."""
        chosen = {
            name: _sha256(value)
            for name, value in sorted(self.knobs.items())
            if _top(name) in self._train and _top(name) not in _HOW
        }
        chosen["train.json"] = sha256_of_file(self._configs[0])
        if "dataset_dir" in self.knobs:
            datalist = Path(self.knobs["dataset_dir"]) / "datalist.json"
            if datalist.is_file():
                chosen["datalist"] = sha256_of_file(datalist)
        return chosen

    @property
    def _configs(self) -> tuple[Path, Path]:
        configs = self.bundle / "configs"
        return configs / "train.json", configs / "evaluate.json"

    @cached_property
    def _train(self) -> dict[str, Any]:
        return dict(read_json(self._configs[0]))

    @cached_property
    def _evaluate(self) -> dict[str, Any]:
        return dict(read_json(self._configs[1]))

    def _check_knob(self, name: str) -> None:
        if _top(name) in _OURS:
            raise MonaiKDError(
                f"seeds: `--{name}` is set for each seed by this command, got it as a knob, too. "
                "Leave it out."
            )
        known = [key for key in {**self._train, **self._evaluate} if "#" not in key]
        if _top(name) not in known:
            hint = did_you_mean(name, [*known, "seeds", "output"])
            raise MonaiKDError(f"seeds: the bundle has no knob `{name}`.{hint}")


def _other_run(seed: int, got: str) -> MonaiKDError:
    return MonaiKDError(
        f"seeds: seed {seed} in `--output` must go on with what it was started with, got {got}. "
        "Give another `--output`, or delete the folder of the seed to train it again."
    )


def _read_mark(path: Path) -> dict[str, str] | None:
    try:
        content = read_json(path)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _top(name: str) -> str:
    return name.replace("#", "::").partition("::")[0]
