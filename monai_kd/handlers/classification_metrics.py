# SPDX-License-Identifier: Apache-2.0
"""The evaluation's numbers, from the predictions that were collected."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from monai_kd.handlers.predictions import readable
from monai_kd.metrics import classification_summary
from monai_kd.utils import sha256_of_file, write_text_atomically
from monai_kd.utils.distributed import is_main_process

__all__ = ["ClassificationMetrics", "EvaluationJSON"]

_log = logging.getLogger(__name__)
_TABLES = ("predictions.csv", "candidates.csv", "lesions.csv")
_SCALARS = ("cross_entropy", "macro_auroc", "accuracy", "balanced_accuracy", "macro_f1")


class ClassificationMetrics:
    """Turn ``engine.state.predictions`` into ``engine.state.summary`` and scalar metrics.

    ``engine.state.metrics`` gets ``val_cross_entropy``, ``val_macro_auroc``, ``val_accuracy``,
    ``val_balanced_accuracy`` and ``val_macro_f1``; what the data cannot give (a class is absent)
    and what a diverged network answers is NaN there, and never counts as a best epoch. The summary
    of a diverged network is empty. Films that could not be read are left out; where films may have
    a ``problem``, the summary says how many had one, as ``unreadable``.

    Args:
        findings: names of the C findings.
        activation: ``"softmax"`` or ``"sigmoid"``.
        prefix: put before the names of the metrics.
    """

    def __init__(self, findings: Sequence[str], *, activation: str, prefix: str = "val_") -> None:
        self.findings = list(findings)
        self.activation = activation
        self.prefix = prefix

    def attach(self, engine: Engine) -> None:
        """Compute when the evaluation ends; attach after ``CollectPredictions``.

        Args:
            engine: the evaluator.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Compute the summary.

        Args:
            engine: the evaluator.
        """
        summary = self._summary(engine.state.predictions)
        engine.state.summary = summary
        for name in _SCALARS:
            value = summary.get(name)
            engine.state.metrics[self.prefix + name] = math.nan if value is None else value

    def _summary(self, every: Mapping[str, Any]) -> dict[str, Any]:
        table = readable(every)
        if not len(table["prob"]):
            _log.warning("None of the films could be read.")
            return {}
        if not bool(torch.isfinite(table["prob"]).all()):
            _log.warning("The network answered with values that are not numbers.")
            return {}
        summary = classification_summary(
            table["prob"],
            table["label"],
            findings=self.findings,
            activation=self.activation,
            patient_id=table.get("patient_id"),
        )
        if "problem" in every:
            summary["unreadable"] = len(every["prob"]) - len(table["prob"])
        return summary


class EvaluationJSON:
    """Write ``evaluation.json``: the summary under the section's name, and what was asked to join.

    ``files`` holds the SHA-256 of ``predictions.csv``, ``candidates.csv`` and ``lesions.csv``, as
    far as they stand beside it, so that nobody reads them as the tables of another evaluation.

    Args:
        path: file to write; sections that are already there and not evaluated now stay, unless
            they are of another ``model_sha256``.
        section: name of the section, e.g. ``"test"``.
        extra: further top-level entries, e.g. ``{"teacher": {...}}``; None entries are left out.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        section: str,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.section = section
        self.extra = extra or {}

    def attach(self, engine: Engine) -> None:
        """Write when the evaluation ends; attach last, after what writes the tables.

        Args:
            engine: the evaluator.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file, on the main process, and log the headline.

        Args:
            engine: the evaluator.
        """
        if not is_main_process():
            return
        content = json.loads(self.path.read_text()) if self.path.exists() else {}
        if content.get("model_sha256") != self.extra.get("model_sha256"):
            content = {}  # what was said of another model does not belong beside this one
        content["predictions_of"] = self.section
        content.setdefault("sections", {})[self.section] = engine.state.summary
        content |= {name: value for name, value in self.extra.items() if value is not None}
        tables = [path for name in _TABLES if (path := self.path.parent / name).is_file()]
        content["files"] = {path.name: sha256_of_file(path) for path in tables}
        write_text_atomically(self.path, json.dumps(content, indent=2) + "\n")
        summary = engine.state.summary
        _log.info(
            "%s: n %s, macro AUROC %s (95%% CI %s), accuracy %s",
            self.section,
            summary.get("n"),
            _rounded(summary.get("macro_auroc")),
            _rounded(summary.get("macro_auroc_ci")),
            _rounded(summary.get("accuracy")),
        )


def _rounded(value: Any) -> str:
    if value is None:
        return "not defined"
    if isinstance(value, list):
        return " to ".join(f"{limit:.3f}" for limit in value)
    return f"{value:.3f}"
