# SPDX-License-Identifier: Apache-2.0
"""What the network said of each image, collected from all processes and written as CSV."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_kd.utils import check_choice, write_text_atomically
from monai_kd.utils.distributed import gather_objects, is_main_process

_log = logging.getLogger(__name__)

__all__ = ["CollectPredictions", "PredictionsCSV", "probabilities", "readable", "unread"]

_CARRIED = ("id", "patient_id", "sex", "age", "view", "site", "problem")


def probabilities(logits: Tensor, activation: str) -> Tensor:
    """Return probabilities in float32.

    Args:
        logits: ``(B, C)``.
        activation: ``"softmax"`` over the findings, or ``"sigmoid"`` of each.

    Raises:
        ValueError: if ``activation`` is another word.
    """
    check_choice("probabilities", "activation", activation, ("softmax", "sigmoid"))
    logits = logits.float()
    return logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()


def readable(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rows of films that could be read: the others have no answer to be judged by.

    Args:
        table: ``engine.state.predictions``, see :class:`CollectPredictions`.

    Example:
        >>> table = {"prob": torch.tensor([[0.2], [torch.nan]]), "problem": ["", "damaged"]}
        >>> readable(table)["prob"].shape
        torch.Size([1, 1])
    """
    rows = [row for row, problem in enumerate(table.get("problem", [])) if not problem]
    if "problem" not in table or len(rows) == len(table["problem"]):
        return table
    return {
        key: column[rows] if isinstance(column, Tensor) else [column[row] for row in rows]
        for key, column in table.items()
    }


def unread(batch: Mapping[str, Any], films: int) -> Tensor:
    """Return which films of a batch could not be read, bool, ``(B,)``.

    Args:
        batch: with ``problem``, "" for films that could be read; without it all could.
        films: B.
    """
    return torch.tensor([bool(problem) for problem in batch.get("problem") or [""] * films])


class CollectPredictions:
    """Collect probabilities and labels of a whole evaluation in ``engine.state.predictions``.

    The result is a dictionary: ``prob`` and ``label`` ``(N, C)``, ``index`` ``(N,)``, and lists of
    what the items carry (salted ``id`` and ``patient_id``, sex, age, view, site). Images that were
    given to two processes, to make their shares even, are counted once.

    Args:
        activation: ``"softmax"`` or ``"sigmoid"``.
    """

    def __init__(self, *, activation: str) -> None:
        self.activation = activation
        self._batches: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Collect after every iteration; attach before what reads the result.

        Args:
            engine: the evaluator, with ``decollate=False``.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        """Keep what this batch adds.

        Args:
            engine: the evaluator.
        """
        batch = engine.state.batch
        prob = probabilities(engine.state.output["pred"].detach(), self.activation).cpu()
        label = batch.get("label")
        kept = {
            "prob": prob.masked_fill(unread(batch, len(prob))[:, None], torch.nan),  # black images
            "label": torch.full_like(prob, torch.nan) if label is None else label.float().cpu(),
            "index": torch.as_tensor(batch["index"]).cpu(),
        }
        self._batches.append(kept | {key: list(batch[key]) for key in _CARRIED if key in batch})

    def _forget(self, engine: Engine) -> None:
        self._batches = []

    def _finish(self, engine: Engine) -> None:
        batches = [batch for share in gather_objects(self._batches) for batch in share]
        engine.state.predictions = _in_order(batches)


class PredictionsCSV:
    """Write ``predictions.csv``: salted id, what is known, and one probability per finding.

    The table of an earlier evaluation is removed when one starts: should this one be cut off, the
    older ids would stand beside a mapping of new ones.

    Args:
        path: file to write.
        findings: names of the C findings.
    """

    def __init__(self, path: str | os.PathLike[str], *, findings: Sequence[str]) -> None:
        self.path = Path(path)
        self.findings = list(findings)

    def attach(self, engine: Engine) -> None:
        """Write when the evaluation ends; attach after :class:`CollectPredictions`.

        Args:
            engine: the evaluator.
        """
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file, on the main process.

        Args:
            engine: the evaluator.
        """
        if not is_main_process():
            return
        table = engine.state.predictions
        carried = [key for key in _CARRIED if key in table]
        header = [*carried, *(f"label_{name}" for name in self.findings)]
        header += [f"prob_{name}" for name in self.findings]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        for row, (label, prob) in enumerate(zip(table["label"], table["prob"], strict=True)):
            known = ["" if bool(torch.isnan(value)) else int(value) for value in label]
            writer.writerow(
                [
                    *(_plain(table[key][row]) for key in carried),
                    *known,
                    *(_probability(p) for p in prob),
                ]
            )
        write_text_atomically(self.path, text.getvalue())
        unread = sum(bool(problem) for problem in table.get("problem", []))
        films = len(table["prob"])
        _log.info("%s: %d films, %d of them not readable", self.path.name, films, unread)

    def _start(self, engine: Engine) -> None:
        if is_main_process():
            self.path.unlink(missing_ok=True)


def _in_order(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Join batches, each image once, in the order of the section."""
    index = torch.cat([batch["index"] for batch in batches])
    first: dict[int, int] = {}
    for position, value in enumerate(index.tolist()):
        first.setdefault(value, position)
    order = [first[value] for value in sorted(first)]
    joined: dict[str, Any] = {"index": index[order]}
    for key in ("prob", "label"):
        joined[key] = torch.cat([batch[key] for batch in batches])[order]
    for key in _CARRIED:
        if all(key in batch for batch in batches):
            values = [value for batch in batches for value in batch[key]]
            joined[key] = [values[position] for position in order]
    return joined


def _probability(value: Tensor) -> str:
    return "" if bool(torch.isnan(value)) else f"{float(value):.6f}"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value
