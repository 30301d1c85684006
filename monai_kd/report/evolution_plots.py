# SPDX-License-Identifier: Apache-2.0
"""The page's curves of a training in rounds: AUROC by round, and how the training has felt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.report.plot_style import COLORS, INK, RULE, figure_of, plain, png_bytes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["auroc_by_round_png", "health_png"]

_Health = Mapping[str, Mapping[str, Sequence[float]]]
_PANELS = {
    "what the teacher sees in films": ("teacher_entropy", "information"),
    "directions that features use": ("effective_rank",),
    "films held to be positive": ("positive_",),
    "teacher and student decide alike": ("agreement",),
}
_WORDS = {
    "teacher_entropy": "entropy of its answers (1: knows nothing)",
    "information": "information on the film (share of its peak)",
    "effective_rank": "effective rank",
    "agreement": "share of decisions",
}


def auroc_by_round_png(
    series: Mapping[str, Sequence[Mapping[str, Any] | None]], *, rounds: Sequence[str]
) -> bytes:
    """Return AUROC over rounds, one line with its band of intervals for each method.

    Args:
        series: by method, for each round ``value`` and ``ci`` (two limits or None), or None. The
            first method is drawn boldest, and is the one whose band is filled.
        rounds: names of the rounds.
    """
    rows = -(-len(series) // 2)
    figure = figure_of(6.8, 3.7 + 0.2 * rows)
    axis = figure.subplots()
    shift = 0.3 / max(len(series), 4)
    for number, (name, cells) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        at = np.arange(len(cells), dtype=np.float64) + shift * (number - (len(series) - 1) / 2)
        _draw_method(axis, at, cells, color=color, leads=number == 0, name=plain(name))
    axis.set_xticks(range(len(rounds)), [plain(name) for name in rounds])
    axis.set(ylabel="AUROC", xlim=(-0.4, len(rounds) - 0.6))
    style(axis)
    axis.grid(visible=False, axis="x")
    lines, names = axis.get_legend_handles_labels()
    figure.legend(
        lines, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9,
        labelcolor=INK, columnspacing=1.4,
    )  # fmt: skip
    return png_bytes(figure)


def health_png(health: _Health) -> bytes:
    """Return what ``health.csv`` says, all phases one after the other.

    Args:
        health: by phase, in order, ``iteration`` and columns of the same length.
    """
    figure = figure_of(10, 5.2)
    axes = figure.subplots(2, 2)
    at, borders = _one_after_the_other(health)
    for axis, (title, names) in zip(axes.ravel(), _PANELS.items(), strict=True):
        _draw_panel(axis, at, _columns(health, names))
        axis.set_title(title, fontsize=11, color=INK, loc="left")
        for border in list(borders.values())[1:]:
            axis.axvline(border, color=RULE, linewidth=0.9, linestyle=(0, (4, 3)))
        axis.set_xticks(list(borders.values()), [_phase(name) for name in borders])
        axis.set_xlim(0, np.nanmax(at, initial=1))
        style(axis)
        axis.grid(visible=False, axis="x")
        for label in axis.get_xticklabels():
            label.set(ha="left", fontsize=9)
    return png_bytes(figure)


def _draw_method(
    axis: Axes,
    at: NDArray[Any],
    cells: Sequence[Mapping[str, Any] | None],
    *,
    color: str,
    leads: bool,
    name: str,
) -> None:
    value = np.array([_number((cell or {}).get("value")) for cell in cells])
    limits = [(cell or {}).get("ci") or (np.nan, np.nan) for cell in cells]
    low, high = (np.array([_number(pair[side]) for pair in limits]) for side in (0, 1))
    if leads:
        axis.fill_between(at, low, high, color=color, alpha=0.13, linewidth=0)
    axis.vlines(at, low, high, color=color, linewidth=2 if leads else 1.4, alpha=0.55)
    axis.plot(
        at, value, "o-", color=color, linewidth=2.4 if leads else 1.5, ms=6 if leads else 4.5,
        label=name, zorder=4 if leads else 3,
    )  # fmt: skip


def _one_after_the_other(health: _Health) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Iterations counted through all phases, NaN between two, and where each phase begins."""
    parts, borders, begin = [np.zeros(0)], {}, 0.0
    for phase, columns in health.items():
        iterations = np.asarray(columns["iteration"], np.float64)
        borders[phase] = begin
        parts.append(np.append(begin + iterations, np.nan))
        begin += iterations.max(initial=0.0)
    return np.concatenate(parts), borders


def _columns(health: _Health, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Columns that begin with one of the names, through all phases, as far as they say anything."""
    every = dict.fromkeys(name for columns in health.values() for name in columns)
    found = {}
    for name in (name for name in every if name.startswith(tuple(names))):
        parts = [
            np.append(columns.get(name, [np.nan] * len(columns["iteration"])), np.nan)
            for columns in health.values()
        ]
        values = np.concatenate([part.astype(np.float64) for part in parts])
        if np.isfinite(values).any():
            found[name] = values / np.nanmax(np.abs(values)) if name == "information" else values
    return found


def _draw_panel(
    axis: Axes, at: NDArray[np.float64], columns: Mapping[str, NDArray[np.float64]]
) -> None:
    if not columns:
        axis.text(0.5, 0.5, "not recorded", ha="center", transform=axis.transAxes, color="#8a949b")
    for number, (name, values) in enumerate(columns.items()):
        known = np.isfinite(values) | np.isnan(at)  # a line ends where its phase does
        color, line = COLORS[number % len(COLORS)], "-" if number < len(COLORS) else "--"
        label = _WORDS.get(name) or name.removeprefix("positive_")
        axis.plot(at[known], values[known], line, color=color, linewidth=1.7, label=plain(label))
    highest = max((float(np.nanmax(values)) for values in columns.values()), default=1.0)
    axis.set_ylim(0, 1.3 if highest <= 1 else 1.3 * highest)  # room for the names
    if highest <= 1:
        axis.set_yticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    if columns:
        many = len(columns) > 3
        axis.legend(
            frameon=False, loc="upper left", fontsize=7.5 if many else 8.5, labelcolor=INK,
            ncols=2 if many else 1,
        )  # fmt: skip


def _phase(name: str) -> str:
    return plain(name.replace("_", " ")) or "start"


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
