# SPDX-License-Identifier: Apache-2.0
"""What the rounds of a training have brought: every round's models asked about the same films."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

from monai_kd.engines.delivered import load_model
from monai_kd.engines.rounds_files import RoundsRun, read_rounds
from monai_kd.engines.rounds_numbers import round_numbers
from monai_kd.engines.rounds_pictures import changed_films, draw_changes, remove_changes
from monai_kd.metrics import Predictions, read_predictions
from monai_kd.networks import GREY_MEAN, GREY_SD, sha256_of_weights
from monai_kd.utils import MonaiKDError, sha256_of_file, slug, write_text_atomically
from monai_kd.utils.distributed import is_main_process, wait_for_all

__all__ = ["evaluate_rounds"]

_log = logging.getLogger(__name__)
_Tables = dict[tuple[str, int, str], Predictions | None]


@dataclass(frozen=True)
class _Asked:
    """What the models of the run's own rounds have said, and how to ask them again."""

    evaluator: SupervisedEvaluator
    network: nn.Module
    run: RoundsRun
    tables: _Tables
    index: dict[str, int]  # place of each film in the data set

    def rounds(self) -> dict[int, Predictions]:
        """What the models of each round have said, as far as they say numbers."""
        said = {
            number: self.tables.get((self.run.method, number, who))
            for number, who in self.run.models()
            if who == self.run.network
        }
        return {number: table for number, table in said.items() if table is not None}


def evaluate_rounds(
    evaluator: SupervisedEvaluator,
    network: nn.Module,
    *,
    table: Any,
    model_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    findings: Sequence[str],
    activation: str,
    section: str,
    pictures: int = 6,
    upper_bound: str = "supervised_all",
    mean: float = GREY_MEAN,
    sd: float = GREY_SD,
) -> dict[str, Any]:
    """Ask the student and the teacher of every round, of the run and of its comparators.

    ``output_dir`` gets ``rounds/<method>_<folder>_<student|teacher>.csv`` in the format of
    ``predictions.csv``, ``evolution.json`` (what is returned), and in ``pictures/rounds/`` the
    films that changed most between the initial and the delivered model. Nothing happens where the
    training had no rounds. A model that stands in two places is asked once.

    Args:
        evaluator: asks ``network`` about the films of ``section``; its handlers are
            ``CollectPredictions`` and no other, since each of them runs once for every model.
        network: gets the weights of every model in turn, and its own back.
        table: ``PredictionsCSV`` that is not attached; its path is set for every model.
        model_dir: run directory of the training, with ``rounds.json``.
        output_dir: of the evaluation.
        findings: names of the C findings.
        activation: ``"softmax"`` or ``"sigmoid"``.
        section: name of the section, such as ``"test"``.
        pictures: how many films are drawn; 0 draws none.
        upper_bound: the comparator that was given all labels; how much of the gap to it is closed
            is then said.
        mean: subtracted when the images were normalized.
        sd: divided by when the images were normalized.

    Returns:
        ``section``, ``films``, ``patients``, ``findings``, ``activation``, ``model_sha256`` (of the
        delivered weights), ``upper_bound``, ``methods`` (see :func:`.round_numbers`) and
        ``pictures`` (see :func:`.draw_changes`, with ``finding`` and ``prob`` by round). Empty
        where there are no rounds, and in processes other than the main one.

    Raises:
        MonaiKDError: if ``rounds.json`` is not what training writes, or a model does not fit.
    """
    runs = read_rounds(model_dir)
    if not runs:
        return {}
    folder = Path(output_dir)
    own_weights = {name: value.clone() for name, value in network.state_dict().items()}
    wait_for_all()  # the main process may just have written the models
    try:
        tables, index = _ask_all(evaluator, network, runs, table, folder=folder / "rounds")
        if not is_main_process():
            return {}
        told = _about(Path(model_dir), tables, section, findings, activation)
        told["upper_bound"] = upper_bound if upper_bound in {run.method for run in runs} else None
        told["methods"] = round_numbers(
            runs, tables, activation=activation, upper_bound=upper_bound
        )
        _say(told)
        remove_changes(folder / "pictures" / "rounds")
        asked = _Asked(evaluator, network, runs[0], tables, index)
        told["pictures"] = _draw(
            asked, told, films=pictures, folder=folder / "pictures" / "rounds", mean=mean, sd=sd
        )
    finally:
        network.load_state_dict(own_weights)
    write_text_atomically(folder / "evolution.json", json.dumps(told, indent=2) + "\n")
    return told


def _ask_all(
    evaluator: SupervisedEvaluator,
    network: nn.Module,
    runs: Sequence[RoundsRun],
    table: Any,
    *,
    folder: Path,
) -> tuple[_Tables, dict[str, int]]:
    """Predictions of every model, and the place of each film in the data set, by its key."""
    tables: _Tables = {}
    index: dict[str, int] = {}
    asked: dict[str, dict[str, Any]] = {}  # by hash of the weights
    for run in runs:
        names = {entry["round"]: slug(Path(entry["folder"]).name) for entry in run.rounds}
        for (number, who), path in run.models().items():
            load_model(network, path)
            weights = sha256_of_weights(network)
            if weights not in asked:
                evaluator.run()
                asked[weights] = evaluator.state.predictions
            evaluator.state.predictions = asked[weights]
            table.path = folder / f"{slug(run.method)}_{names[number]}_{who}.csv"
            table(evaluator)
            if is_main_process():
                tables[run.method, number, who] = _read(table.path)
                index = index or _places(asked[weights])
    return tables, index


def _read(path: Path) -> Predictions | None:
    try:
        return read_predictions(path)
    except MonaiKDError:
        _log.warning("%s: no film with a probability; the model has diverged.", path.name)
        return None


def _places(predictions: dict[str, Any]) -> dict[str, int]:
    """Number in the data set of each film that could be read."""
    problems = predictions.get("problem") or [""] * len(predictions["index"])
    there = [
        (row, number)
        for row, number in enumerate(predictions["index"].tolist())
        if not problems[row]
    ]
    ids = predictions.get("id")
    return {
        str(ids[row]) if ids else str(place): number for place, (row, number) in enumerate(there)
    }


def _about(
    model_dir: Path,
    tables: _Tables,
    section: str,
    findings: Sequence[str],
    activation: str,
) -> dict[str, Any]:
    first = next((read for read in tables.values() if read is not None), None)
    patients = None if first is None or first.patient_id is None else len(set(first.patient_id))
    delivered = model_dir / "model.pt"
    return {
        "section": section,
        "films": 0 if first is None else len(first),
        "patients": patients,
        "findings": list(findings),
        "activation": activation,
        "model_sha256": sha256_of_file(delivered) if delivered.is_file() else None,
    }


def _draw(
    asked: _Asked, told: dict[str, Any], *, films: int, folder: Path, mean: float, sd: float
) -> list[dict[str, Any]]:
    """Films that changed most from the initial to the delivered model, or to the last one."""
    run, known = asked.run, asked.rounds()
    first = run.rounds[0]["round"]
    after = run.delivered if run.delivered in known else first
    after = max(known, default=first) if after == first else after
    before, later = known.get(first), known.get(after)
    if films < 1 or before is None or later is None or after == first:
        return []
    chosen = changed_films(before, later, films=films, activation=told["activation"])
    chosen = [film for film in chosen if film.key in asked.index]
    drawn = draw_changes(
        asked.network,
        chosen,
        _images(asked.evaluator, [asked.index[film.key] for film in chosen]),
        load={
            number: partial(load_model, asked.network, run.models()[number, run.network])
            for number in known
        },
        delivered=after,
        folder=folder,
        mean=mean,
        sd=sd,
    )
    for film, row in zip(chosen, drawn, strict=True):
        row["finding"] = told["findings"][row["column"]]
        row["prob"] = [_probability(said, film.key, film.column) for said in known.values()]
    return drawn


def _probability(table: Predictions, key: str, column: int) -> float | None:
    if key not in table.key:
        return None
    return float(table.prob[table.key.index(key), column])


def _images(evaluator: SupervisedEvaluator, numbers: Sequence[int]) -> Tensor:
    loader: Any = evaluator.data_loader
    images = [torch.as_tensor(loader.dataset[number]["image"]) for number in numbers]
    if not images:
        return torch.zeros(0, 1, 1, 1)
    return torch.stack(images).float().to(evaluator.state.device)


def _say(told: dict[str, Any]) -> None:
    for method in told["methods"]:
        for entry in method["rounds"]:
            score = (entry[method["network"]] or {}).get("value")
            said = "not known" if score is None else f"{score:.3f}"
            _log.info(
                "%s, round %d: AUROC %s on section %s",
                method["method"],
                entry["round"],
                said,
                told["section"],
            )
