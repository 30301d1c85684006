# SPDX-License-Identifier: Apache-2.0
"""Training curves from ``metrics.csv``: a row of panels per phase (teacher, student, baseline)."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_kd.utils import MonaiKDError, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curves_png", "draw_curves", "read_metrics"]

_COLORS = ("#0b5c6b", "#c8553d", "#6a7b3c", "#7a5195", "#b8860b", "#4a6fa5")
_INK, _FAINT = "#33404a", "#8a949b"
_LOSSES = ("loss", "cross_entropy")


def read_metrics(metrics_csv: str | os.PathLike[str]) -> dict[str, dict[str, list[float]]]:
    """Return the columns of ``metrics.csv`` by phase.

    Args:
        metrics_csv: one row per epoch; ``phase`` and ``epoch``, then any numbers. An empty cell
            is NaN. Without ``phase`` all rows are one phase, ``""``.

    Returns:
        ``{phase: {column: values}}``, phases and columns in the order of the file.

    Raises:
        MonaiKDError: if there is no ``epoch`` column.
    """
    with Path(metrics_csv).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or [] if name != "phase"]
        if "epoch" not in names:
            raise MonaiKDError(
                f"read_metrics: the table must have a column `epoch`, got {names}. "
                "Give it the metrics.csv of a run directory."
            )
        phases: dict[str, dict[str, list[float]]] = {}
        for row in reader:
            columns = phases.setdefault(row.get("phase") or "", {name: [] for name in names})
            for name in names:
                columns[name].append(_float(row.get(name)))
    return phases


def curves_png(metrics_csv: str | os.PathLike[str]) -> bytes:
    """Return the training curves as a PNG.

    Args:
        metrics_csv: see :func:`read_metrics`.

    Raises:
        MonaiKDError: if the table has no row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    phases = read_metrics(metrics_csv)
    if not phases:
        raise MonaiKDError(
            "curves_png: the table must have at least one row, got none. Train for an epoch first."
        )
    figure = Figure(figsize=(10, 0.3 + 2.75 * len(phases)), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(phases), 3, squeeze=False)
    for row, (phase, columns) in zip(axes, phases.items(), strict=True):
        for axis, (title, names) in zip(row, _panels(columns).items(), strict=True):
            drawn = {name: columns[name] for name in names}
            if title == "schedules":
                drawn = _shares(drawn)
            _draw_panel(axis, columns["epoch"], drawn)
            axis.set_title(f"{phase}: {title}" if phase else title, loc="left", color=_INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw_curves(metrics_csv: str | os.PathLike[str], png: str | os.PathLike[str]) -> None:
    """Write the training curves as a PNG file, whole or not at all.

    Args:
        metrics_csv: see :func:`read_metrics`.
        png: file to write.

    Raises:
        MonaiKDError: if the table has no row.
    """
    content = curves_png(metrics_csv)
    write_atomically(png, lambda file: file.write(content))


def _panels(columns: dict[str, list[float]]) -> dict[str, list[str]]:
    """Sort the columns that hold a number into three panels."""
    filled = [
        name
        for name, values in columns.items()
        if name != "epoch" and not all(math.isnan(value) for value in values)
    ]
    losses = [name for name in filled if _is_loss(name)]
    scores = [name for name in filled if name.startswith("val_") and name not in losses]
    rest = [name for name in filled if name not in losses and name not in scores]
    return {"losses": losses, "validation": scores, "schedules": rest}


def _shares(drawn: dict[str, list[float]]) -> dict[str, list[float]]:
    """Each column as a share of its peak, which its new name tells: schedules differ by 1000."""
    shares = {}
    for name, values in drawn.items():
        peak = max(abs(value) for value in values if not math.isnan(value)) or 1.0
        shares[f"{name} (1 is {peak:.2g})"] = [value / peak for value in values]
    return shares


def _draw_panel(axis: Axes, epochs: list[float], drawn: dict[str, list[float]]) -> None:
    losses = any(_is_loss(name) for name in drawn)
    for number, (name, values) in enumerate(drawn.items()):
        axis.plot(
            epochs,
            values,
            "--" if losses and name.startswith("val_") else "-",
            color=_COLORS[number % len(_COLORS)],
            marker="o" if len(epochs) <= 30 else "",
            markersize=3,
            linewidth=1.6,
            label=_words(name, losses),
        )
    _style(axis)
    if drawn:
        axis.legend(framealpha=0.85, edgecolor="none", fontsize=8, labelcolor=_INK)
    else:
        axis.text(0.5, 0.5, "not recorded", ha="center", transform=axis.transAxes, color=_FAINT)


def _is_loss(name: str) -> bool:
    return any(word in name for word in _LOSSES)


def _words(name: str, losses: bool) -> str:
    if losses:
        return name.replace("val_", "validation ").replace("train_", "").replace("_", " ")
    return name.removeprefix("val_").replace("_", " ")


def _style(axis: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#b9c2c7")
    axis.tick_params(colors=_INK, labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.set_xlabel("epoch", fontsize=8, color=_INK)
    axis.grid(axis="y", color="#e8ecee", linewidth=0.8)


def _float(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
