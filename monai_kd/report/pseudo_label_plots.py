# SPDX-License-Identifier: Apache-2.0
"""The page's curves of a detector's pseudo labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monai_kd.report.plot_style import COLORS, INK, figure_of, plain, png_bytes, style

__all__ = ["CURVES", "columns_of", "pseudo_labels_png"]

CURVES = {
    "above_center": "Films on which the teacher speaks up",
    "peak": "How sure the teacher is",
    "sharpened_mass": "What sharpening adds",
    "precision": "How much of it is in the right place",
    "distillation_share": "Part of the loss",
}
"""Titles by the beginning of the column's name, in the order of the page."""

_ACROSS = 3
_FEW_LOOKS = 30  # of which each is marked
_Columns = Mapping[str, Sequence[float]]


def columns_of(columns: _Columns, name: str) -> dict[str, Sequence[float]]:
    """Return the columns of one curve by finding; by "" where it is of all findings.

    Args:
        columns: of one phase of ``health.csv``.
        name: one of :data:`CURVES`.
    """
    if name in columns:
        return {"": columns[name]}
    start = name + "_"
    return {key.removeprefix(start): v for key, v in columns.items() if key.startswith(start)}


def pseudo_labels_png(columns: _Columns, *, center: float | None = None) -> bytes:
    """Return one small plot for each curve that says anything.

    Args:
        columns: of one phase of ``health.csv``: ``iteration``, and columns of the same length.
        center: of the sharpening, drawn dashed among the peaks; None where it is not known.
    """
    found = {name: _drawn(columns, name) for name in CURVES}
    found = {name: lines for name, lines in found.items() if lines}
    rows = -(-len(found) // _ACROSS)
    figure = figure_of(10.5, 0.2 + 2.75 * rows)
    axes = figure.subplots(rows, _ACROSS, squeeze=False)
    for axis in axes.ravel()[len(found) :]:
        axis.set_visible(False)
    at = np.asarray(columns["iteration"], np.float64)
    marker = "o" if len(at) <= _FEW_LOOKS else ""
    for axis, (name, lines) in zip(axes.ravel(), found.items(), strict=False):
        for number, (finding, values) in enumerate(lines.items()):
            color, line = COLORS[number % len(COLORS)], "-" if number < len(COLORS) else "--"
            known = np.isfinite(values)
            axis.plot(
                at[known], values[known], line, marker=marker, ms=3, color=color, linewidth=1.8,
                label=plain(finding),
            )  # fmt: skip
        if name == "peak" and center is not None:
            axis.axhline(center, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        highest = max(float(np.nanmax(values)) for values in lines.values())
        lowest = min(float(np.nanmin(values)) for values in lines.values())
        axis.set(ylim=(min(-0.02, 1.08 * lowest), max(1.02, 1.08 * highest if highest > 1 else 0)))
        axis.set_xlabel("iteration")
        axis.set_title(CURVES[name], fontsize=11, color=INK, loc="left")
        style(axis)
        if len(lines) > 1:
            axis.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    return png_bytes(figure)


def _drawn(columns: _Columns, name: str) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Lines that have a value."""
    lines = {f: np.array(v, np.float64) for f, v in columns_of(columns, name).items()}
    return {finding: values for finding, values in lines.items() if np.isfinite(values).any()}
