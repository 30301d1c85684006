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
    """Return the confusion matrix: one of C x C (softmax), or one of 2 x 2 for each finding.

    Args:
        confusion_matrix: as in :func:`monai_kd.metrics.classification_summary`.
        findings: names of the C findings.
    """
    if isinstance(confusion_matrix, dict):
        matrices = {name: confusion_matrix[name] for name in findings if name in confusion_matrix}
        names = ["absent", "present"]
    else:
        matrices, names = {"": confusion_matrix}, list(findings)
    columns = min(len(matrices), 3 if len(matrices) > _MANY else 2)
    rows = -(-len(matrices) // columns)
    size = 4.6 / columns
    figure = figure_of(4.6, max(4.4 if rows == 1 and columns == 1 else size * rows, 2.4))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(matrices) :]:
        axis.set_visible(False)
    for axis, (title, matrix) in zip(axes, matrices.items(), strict=False):
        _draw_matrix(axis, np.asarray(matrix), [plain(name) for name in names])
        axis.set_title(plain(title), fontsize=10, color=INK, loc="left")
    return png_bytes(figure)


def _draw_matrix(axis: Axes, matrix: NDArray[np.int64], names: list[str]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    tint = LinearSegmentedColormap.from_list("tint", ["#f4f7f8", "#0b5c6b"])
    axis.imshow(share, cmap=tint, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if share[row, column] > 0.5 else INK
        here: dict[str, Any] = {"ha": "center", "va": "center", "color": color}
        axis.text(column, row - 0.08, f"{count}", fontsize=13, **here)
        axis.text(column, row + 0.2, f"{share[row, column]:.0%}", fontsize=9, **here)
    ticks = range(len(names))
    turned = len(names) > _MANY or max(map(len, names)) > _LONG_NAME
    axis.set_xticks(ticks, names, fontsize=9.5, rotation=30 if turned else 0)
    axis.set_yticks(ticks, names, fontsize=9.5, rotation=0 if turned else 90, va="center")
    axis.set_xlabel("decision", color=INK, fontsize=10)
    axis.set_ylabel("truth", color=INK, fontsize=10)
    axis.tick_params(length=0, colors=INK)
    axis.spines[:].set_visible(False)
