# SPDX-License-Identifier: Apache-2.0
"""The curves of ``health.csv``: a row of panels per phase (initial, round_1, second_stage, ...)."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from monai_kd.metrics.curves import _COLORS, _FAINT, _INK, _style  # one look for all curves
from monai_kd.utils import MonaiKDError, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_health", "read_health"]

_PANELS: dict[str, tuple[str, ...]] = {
    "self-supervision": ("information", "teacher_entropy"),
    "features": ("effective_rank", "similarity"),
    "pseudo labels": ("positive_", "agreement"),
}
_MAP_PANELS: dict[str, tuple[str, ...]] = {
    "the teacher on positive films": ("above_center_", "peak_"),
    "what sharpening adds": ("sharpened_mass_",),
    "right, and how much it counts": ("precision_", "distillation_share"),
}
_WORDS = {
    "above_center": "peak above the center, share of films:",
    "peak": "mean peak:",
    "sharpened_mass": "share of the teacher's mass:",
    "precision": "share in hidden regions:",
    "distillation_share": "distillation, share of the loss",
}
_MAY_PASS_1 = ("information", "effective_rank", "sharpened_mass_")


def read_health(health_csv: str | os.PathLike[str]) -> dict[str, dict[str, list[float]]]:
    """Return the columns of ``health.csv`` by phase.

    Args:
        health_csv: one row per look; ``phase`` and ``iteration``, then any numbers. An empty cell
            is NaN.

    Returns:
        ``{phase: {column: values}}``, phases and columns in the order of the file.

    Raises:
        MonaiKDError: if there is no ``iteration`` column.
    """
    with Path(health_csv).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or [] if name != "phase"]
        if "iteration" not in names:
            raise MonaiKDError(
                f"read_health: the table must have a column `iteration`, got {names}. "
                "Give it the health.csv of a run directory."
            )
        phases: dict[str, dict[str, list[float]]] = {}
        for row in reader:
            columns = phases.setdefault(row.get("phase") or "", {name: [] for name in names})
            for name in names:
                columns[name].append(float(row[name]) if row[name] else math.nan)
    return phases


def draw_health(health_csv: str | os.PathLike[str], png: str | os.PathLike[str]) -> None:
    """Write the curves as a PNG file, whole or not at all.

    Args:
        health_csv: see :func:`read_health`.
        png: file to write.

    Raises:
        MonaiKDError: if the table has no row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    phases = read_health(health_csv)
    if not phases:
        raise MonaiKDError(
            "draw_health: the table must have at least one row, got none. Train a while first."
        )
    figure = Figure(figsize=(10, 0.3 + 2.6 * len(phases)), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(phases), 3, squeeze=False)
    for row, (phase, columns) in zip(axes, phases.items(), strict=True):
        for axis, (title, names) in zip(row, _panels(columns).items(), strict=True):
            _draw_panel(axis, columns, names)
            axis.set_title(f"{phase}: {title}" if phase else title, loc="left", color=_INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(png, lambda file: file.write(buffer.getvalue()))


def _panels(columns: dict[str, list[float]]) -> dict[str, tuple[str, ...]]:
    """What is drawn of a phase: pseudo labels of maps are others than those of films."""
    of_maps = any(not math.isnan(value) for value in columns.get("pseudo_maps", []))
    return _MAP_PANELS if of_maps else _PANELS


def _in_words(name: str) -> str:
    """What a reader calls a column."""
    for start, words in _WORDS.items():
        if name.startswith(start):
            return f"{words} {name.removeprefix(start).strip('_')}".strip()
    return name.replace("_", " ")


def _draw_panel(axis: Axes, columns: dict[str, list[float]], names: tuple[str, ...]) -> None:
    drawn = {
        name: values
        for name, values in columns.items()
        if name.startswith(names) and not all(math.isnan(value) for value in values)
    }
    lowest = 0.0
    for number, (name, values) in enumerate(drawn.items()):
        label, divisor = _in_words(name), 1.0
        if name.startswith(_MAY_PASS_1):
            divisor = max(abs(v) for v in values if not math.isnan(v)) or 1.0
            label = f"{label} (1 is {divisor:.2g})"
        shown = [value / divisor for value in values]
        lowest = min([lowest, *(value for value in shown if not math.isnan(value))])
        axis.plot(
            columns["iteration"],
            shown,
            color=_COLORS[number % len(_COLORS)],
            marker="o" if len(values) <= 30 else "",
            markersize=3,
            linewidth=1.6,
            label=label,
        )
    _style(axis)
    axis.set_xlabel("iteration", fontsize=8, color=_INK)
    axis.set_ylim(lowest - 0.03, 1.03)
    if drawn:
        axis.legend(framealpha=0.85, edgecolor="none", fontsize=8, labelcolor=_INK)
    else:
        axis.text(0.5, 0.5, "not recorded", ha="center", transform=axis.transAxes, color=_FAINT)
