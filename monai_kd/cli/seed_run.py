# SPDX-License-Identifier: Apache-2.0
"""The runs of a bundle, one per seed: their commands, and which of them are done."""

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
_MARK = "finished.json"


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
        path = self.folder(seed) / _MARK
        return path.is_file() and path.read_text(encoding="utf-8") == self._mark(seed)

    def finish(self, seed: int) -> None:
        """Remember that the run is finished.

        Args:
            seed: number of the seed.
        """
        write(self.folder(seed) / _MARK, self._mark(seed))

    def _mark(self, seed: int) -> str:
        """Hashes alone: knobs hold paths, which do not belong into a run directory."""
        files = [self.folder(seed) / name for name in ("evaluation.json", "predictions.csv")]
        made = [sha256_of_file(path) if path.is_file() else "missing" for path in files]
        return json.dumps({"settings": self._settings_sha256, "evaluation": made}) + "\n"

    @cached_property
    def _settings_sha256(self) -> str:
        datalist = Path(self.knobs.get("dataset_dir", "")) / "datalist.json"
        files = [*self._configs, *([datalist] if datalist.is_file() else [])]
        hashes = [sha256_of_file(path) for path in files]
        content = [__version__, sorted(self.knobs.items()), hashes]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

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


def _top(name: str) -> str:
    return name.replace("#", "::").partition("::")[0]
