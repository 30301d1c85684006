# SPDX-License-Identifier: Apache-2.0
"""What the runs of aals_fracatlas have written: read from their folders, kept beside the CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "done", "keep", "read_test", "read_training"]

COLUMNS = (
    "arm", "seed", "auroc", "froc_score", "recall_at_1", "validation_auroc", "validation_froc",
    "epoch", "above_center", "pseudo_precision", "n_test", "lesions", "seconds",
)  # fmt: skip


def read_test(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the scores of an evaluated run, and what it said, in the order of the films' ids.

    Args:
        folder: with ``predictions.csv``, ``candidates.csv`` and ``lesions.csv``.

    Returns:
        ``auroc``, ``froc_score``, ``recall_at_1``, ``n_test`` and ``lesions``; and the tables that
        :func:`keep` writes.
    """
    import numpy as np

    from monai_kd.metrics import froc_curve, read_predictions, recall_at, score_interval

    table = read_predictions(folder / "predictions.csv")
    table = table.rows(np.argsort(table.key))
    number = {str(key): place for place, key in enumerate(table.key)}
    lesions = np.zeros(len(table), np.int64)
    scored = _rows(folder / "lesions.csv")
    for film in scored:
        lesions[number[film["id"]]] = int(film["lesions"])
    if len(scored) != len(table):
        raise SystemExit(f"{folder.name}: {len(table) - len(scored)} films were not scored.")
    candidates = _candidates(_rows(folder / "candidates.csv"), number, lesions)
    auroc = score_interval("macro_auroc", table.prob, table.label, activation="sigmoid")
    recall = recall_at(froc_curve(candidates))
    row: dict[str, Any] = {
        "auroc": auroc.estimate,
        "froc_score": float(np.mean(recall)),
        "recall_at_1": float(recall[-1]),
        "n_test": len(table),
        "lesions": int(lesions.sum()),
    }
    kept = {name: getattr(candidates, name) for name in ("image", "score", "lesion", "lesions")}
    who = {"film": np.array([str(key) for key in table.key])}
    return row, who | kept | {"label": table.label.astype(np.int8), "prob": table.prob}


def _candidates(found: list[dict[str, str]], number: dict[str, int], lesions: Any) -> Any:
    """The candidates of ``candidates.csv``, films by their numbers."""
    import numpy as np

    from monai_kd.metrics import Candidates

    sides = ("x_min", "y_min", "x_max", "y_max")
    return Candidates(
        image=np.array([number[row["id"]] for row in found], np.int64),
        score=np.array([row["score"] for row in found], np.float64),
        box=np.array([[row[side] for side in sides] for row in found], np.float64).reshape(-1, 4),
        lesion=np.array([_lesion(row["lesion"]) for row in found], np.int64),
        lesions=lesions,
    )


def read_training(run: Path, phase: str, chosen_by: str) -> dict[str, Any]:
    """Return what was measured while a run was trained.

    Args:
        run: the run directory.
        phase: of ``metrics.csv``.
        chosen_by: column by which the epoch was chosen.

    Returns:
        Of the chosen epoch: ``epoch``, ``validation_auroc`` and ``validation_froc``; and, over the
        whole phase, ``above_center`` and ``pseudo_precision``; NaN where there is none.
    """
    epochs = [row for row in _rows(run / "metrics.csv") if row["phase"] == phase]
    best = max(epochs, key=lambda row: _number(row[chosen_by]))
    looks = [row for row in _health(run) if row["phase"] == phase]
    return {
        "epoch": int(best["epoch"]),
        "validation_auroc": _number(best["val_macro_auroc"]),
        "validation_froc": _number(best.get("val_froc_score")),
        "above_center": _mean(row["above_center_fracture"] for row in looks),
        "pseudo_precision": _mean(row["precision_fracture"] for row in looks),
    }


def _health(run: Path) -> list[dict[str, str]]:
    path = run / "health.csv"
    return _rows(path) if path.exists() else []


def _mean(texts: Iterable[str]) -> float:
    values = [_number(text) for text in texts if text]
    return sum(values) / len(values) if values else math.nan


def _number(text: str | None) -> float:
    return float(text) if text else math.nan


def _lesion(text: str) -> int:
    from monai_kd.metrics import FALSE_POSITIVE, REPEATED_HIT

    return int(text) if text.isdigit() else {"": FALSE_POSITIVE, "repeat": REPEATED_HIT}[text]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def keep(results: Path, row: dict[str, Any], predictions: Mapping[str, Any]) -> None:
    """Keep a run's test predictions and candidates, then add its row to the CSV.

    Args:
        results: gets ``aals_fracatlas.csv`` and ``aals_predictions/``.
        row: with all of :data:`COLUMNS`.
        predictions: see :func:`read_test`.
    """
    import numpy as np

    (results / "aals_predictions").mkdir(parents=True, exist_ok=True)
    name = f"{row['arm']}_{row['seed']}.npz"
    np.savez_compressed(results / "aals_predictions" / name, **predictions)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    path = results / "aals_fracatlas.csv"
    if not path.exists():
        writer.writeheader()
    writer.writerow({column: _short(row[column]) for column in COLUMNS})
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def _short(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def done(results: Path) -> set[tuple[str, int]]:
    """Return arms and seeds that the CSV has.

    Args:
        results: see :func:`keep`.
    """
    path = results / "aals_fracatlas.csv"
    return {(row["arm"], int(row["seed"])) for row in _rows(path)} if path.exists() else set()
