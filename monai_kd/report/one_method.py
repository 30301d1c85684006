# SPDX-License-Identifier: Apache-2.0
"""Runs of several seeds are one method only if nothing but the seed differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_kd.report.evaluated_run import EvaluatedRun
from monai_kd.utils import MonaiKDError

__all__ = ["check_seeds"]

_MAY_DIFFER = ("seed", "versions", "precision")  # the last is chosen by the machine


def check_seeds(runs: Sequence[EvaluatedRun], *, name: str) -> None:
    """Refuse runs that are not one method trained with several seeds.

    Args:
        runs: the runs of one folder.
        name: what the user calls the folder, such as ``"A"``; begins the messages.

    Raises:
        MonaiKDError: if a setting other than the seed, or the section, is not the same in all, or
            two have the same seed.
    """
    known = [run.settings for run in runs if run.settings]
    _check_section(runs, name)
    _check_settings(known, name)
    seeds = [one["seed"] for one in known if "seed" in one]
    if len(set(seeds)) < len(seeds):
        raise MonaiKDError(
            f"{name}: each run must be trained with a seed of its own, got "
            f"{len(seeds) - len(set(seeds))} whose seed another has, too. Train these again."
        )


def _check_section(runs: Sequence[EvaluatedRun], name: str) -> None:
    sections = {run.section for run in runs if run.section}
    if len(sections) > 1:
        raise MonaiKDError(
            f"{name}: all seeds must be evaluated on the same section, got {len(sections)} "
            "different ones. Evaluate them again."
        )


def _check_settings(known: Sequence[Mapping[str, Any]], name: str) -> None:
    names = dict.fromkeys(key for one in known for key in one if key not in _MAY_DIFFER)
    other = [key for key in names if any(one.get(key) != known[0].get(key) for one in known)]
    if other:
        listed = ", ".join(f"`{key}`" for key in other)
        raise MonaiKDError(
            f"{name}: all seeds must be trained with the same settings, got different {listed}. "
            "Keep the runs of other settings in a folder of their own."
        )
