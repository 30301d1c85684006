# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.report.plot_style import INK, figure_of, plain, png_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion_png"]

_LONG_NAME, _MANY = 12, 4


def confusion_png(confusion_matrix: Any, *, findings: Sequence[str]) -> bytes:
    """Return the confusion matrix: one of C x C (softmax), or a row for each finding.

    Args:
        confusion_matrix: as in :func:`monai_kd.metrics.classification_summary`.
        findings: names of the C findings.
    """
    if isinstance(confusion_matrix, dict):
        return _rows_png({name: confusion_matrix[name] for name in findings})
    figure = figure_of(4.6, 4.4)
    matrix = np.asarray(confusion_matrix)
    _draw_matrix(figure.subplots(), matrix, [plain(name) for name in findings])
    return png_bytes(figure)


def _rows_png(matrices: dict[str, Any]) -> bytes:
    """Independent findings, one below the other: films with it, then films without it."""
    counts = np.array([[m[1][1], m[1][0], m[0][1], m[0][0]] for m in matrices.values()])
    films = np.repeat(counts.reshape(-1, 2, 2).sum(2), 2, axis=1)
    share = counts / np.maximum(films, 1)
    figure = figure_of(5.2, 0.9 + 0.42 * len(counts))
    axis = figure.subplots()
    _draw_cells(axis, counts, share, above=0.0)
    axis.set_aspect("auto")
    axis.set_xticks(range(4), ["with it:\nmarked", "missed", "without:\nmarked", "not marked"])
    axis.set_yticks(range(len(counts)), [plain(name) for name in matrices])
    axis.axvline(1.5, color="white", linewidth=6)
    axis.tick_params(length=0, colors=INK, labelsize=9.5, top=True, labeltop=True)
    axis.tick_params(bottom=False, labelbottom=False)
    return png_bytes(figure)


def _draw_matrix(axis: Axes, matrix: NDArray[np.int64], names: list[str]) -> None:
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    _draw_cells(axis, matrix, share, above=0.08)
    ticks = range(len(names))
    turned = len(names) > _MANY or max(map(len, names)) > _LONG_NAME
    axis.set_xticks(ticks, names, fontsize=9.5, rotation=30 if turned else 0)
    axis.set_yticks(ticks, names, fontsize=9.5, rotation=0 if turned else 90, va="center")
    axis.set_xlabel("decision", color=INK, fontsize=10)
    axis.set_ylabel("truth", color=INK, fontsize=10)
    axis.tick_params(length=0, colors=INK)


def _draw_cells(
    axis: Axes, counts: NDArray[np.int64], share: NDArray[np.float64], *, above: float
) -> None:
    """Counts and shares, the one above the other, or beside it where ``above`` is 0."""
    from matplotlib.colors import LinearSegmentedColormap

    tint = LinearSegmentedColormap.from_list("tint", ["#f4f7f8", "#0b5c6b"])
    axis.imshow(share, cmap=tint, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        part = share[row, column]
        here: dict[str, Any] = {"va": "center", "color": "white" if part > 0.5 else INK}
        if above:
            axis.text(column, row - above, f"{count}", fontsize=13, ha="center", **here)
            axis.text(column, row + 2.5 * above, f"{part:.0%}", fontsize=9, ha="center", **here)
        else:
            axis.text(column - 0.02, row, f"{count}", fontsize=11, ha="right", **here)
            axis.text(column + 0.06, row, f"{part:.0%}", fontsize=8.5, ha="left", **here)
    axis.spines[:].set_visible(False)
