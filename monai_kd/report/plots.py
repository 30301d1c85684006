# SPDX-License-Identifier: Apache-2.0
"""The page's pictures, each a function that returns PNG bytes; no global state of matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.explain import HEAT_COLORS, overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RegionCase", "confusion_png", "decision_regions_png", "roc_png"]

COLORS = ("#0b5c6b", "#c8553d", "#6a7b3c", "#7a5195", "#b8860b", "#4a6fa5")
_INK, _RULE = "#33404a", "#b9c2c7"


@dataclass(frozen=True)
class RegionCase:
    """One film of the decision-region picture.

    Args:
        title: what is seen, e.g. the finding; never a name.
        image: ``(H, W)`` in [0, 1].
        region_mask: ``(H, W)``, 0 or 1.
        cams: heat map in [0, 1], ``(H, W)``, by model.
        captions: a line under each heat map, by model.
    """

    title: str
    image: ArrayLike
    region_mask: ArrayLike
    cams: dict[str, ArrayLike]
    captions: dict[str, str]


def roc_png(prob: ArrayLike, label: ArrayLike, *, findings: Sequence[str]) -> bytes:
    """Return ROC curves, one per finding that has both classes.

    Args:
        prob: probabilities, ``(N, C)``.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        findings: names of the C findings.
    """
    probs, truth = np.asarray(prob, np.float64), np.asarray(label, np.float64)
    figure = _figure(4.6, 4.4)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=_RULE, linewidth=1, linestyle=(0, (4, 3)))
    for column, name in enumerate(findings):
        known = ~np.isnan(truth[:, column])
        curve = _roc_points(probs[known, column], truth[known, column])
        if curve is not None:
            color = COLORS[column % len(COLORS)]
            axis.plot(*curve, color=color, linewidth=2, label=_plain(name))
    axis.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")  # noqa: RUF001
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    _style(axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, loc="lower right", fontsize=9, labelcolor=_INK)
    return _png(figure)


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
    columns = min(len(matrices), 2)
    rows = -(-len(matrices) // columns)
    size = 4.6 / columns
    figure = _figure(4.6, max(4.4 if rows == 1 and columns == 1 else size * rows, 2.4))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(matrices) :]:
        axis.set_visible(False)
    for axis, (title, matrix) in zip(axes, matrices.items(), strict=False):
        _draw_matrix(axis, np.asarray(matrix), [_plain(name) for name in names])
        axis.set_title(_plain(title), fontsize=10, color=_INK, loc="left")
    return _png(figure)


def decision_regions_png(cases: Sequence[RegionCase]) -> bytes:
    """Return films beside what each model looks at, expert's outline on all, one color bar.

    Args:
        cases: films with the same models; at least one.

    Raises:
        ValueError: if there is no case.
    """
    if not cases:
        raise ValueError(
            "decision_regions_png: `cases` must hold at least one film, got none. "
            "Choose images with drawn regions."
        )
    models = list(cases[0].cams)
    figure = _figure(2.9 * (1 + len(models)), 3.1 * len(cases) + 0.8)
    axes = figure.subplots(len(cases), 1 + len(models), squeeze=False)
    for row, (line, case) in enumerate(zip(axes, cases, strict=True)):
        blank = np.zeros(np.asarray(case.image).shape)
        _show(line[0], overlay(case.image, blank, region_mask=case.region_mask), case.title)
        for axis, model in zip(line[1:], models, strict=True):
            picture = overlay(case.image, case.cams[model], region_mask=case.region_mask)
            _show(axis, picture, case.captions.get(model, ""))
        if row == 0:
            for axis, title in zip(line, ["film and region", *models], strict=True):
                axis.set_title(title, fontsize=11, color=_INK, pad=6)
    _color_bar(figure, axes)
    return _png(figure, dpi=110)


def _roc_points(
    prob: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if not positives or not negatives:
        return None
    order = np.argsort(-prob, kind="stable")
    last_of_tie = np.append(np.diff(prob[order]) != 0, True)
    hits = np.cumsum(truth[order] == 1)[last_of_tie] / positives
    alarms = np.cumsum(truth[order] == 0)[last_of_tie] / negatives
    return np.append(0, alarms), np.append(0, hits)


def _draw_matrix(axis: Axes, matrix: NDArray[np.int64], names: list[str]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    tint = LinearSegmentedColormap.from_list("tint", ["#f4f7f8", "#0b5c6b"])
    axis.imshow(share, cmap=tint, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if share[row, column] > 0.5 else _INK
        axis.text(
            column, row - 0.06, f"{count}", ha="center", va="center", color=color, fontsize=12
        )
        axis.text(
            column,
            row + 0.2,
            f"{share[row, column]:.0%}",
            ha="center",
            va="center",
            color=color,
            fontsize=8,
        )
    ticks = range(len(names))
    axis.set_xticks(ticks, names, fontsize=9, rotation=0 if len(names) <= 4 else 45)
    axis.set_yticks(ticks, names, fontsize=9, rotation=90, va="center")
    axis.set_xlabel("decision", color=_INK, fontsize=9)
    axis.set_ylabel("truth", color=_INK, fontsize=9)
    axis.tick_params(length=0, colors=_INK)
    axis.spines[:].set_visible(False)


def _show(axis: Axes, picture: NDArray[np.uint8], caption: str) -> None:
    axis.imshow(picture, interpolation="bilinear")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.set_xlabel(_plain(caption), fontsize=9, color=_INK, labelpad=4)


def _color_bar(figure: Figure, axes: NDArray[Any]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap

    heat = ScalarMappable(cmap=LinearSegmentedColormap.from_list("heat", HEAT_COLORS))
    bar = figure.colorbar(
        heat, ax=axes.ravel().tolist(), location="bottom", shrink=0.45, aspect=36, pad=0.02
    )
    bar.set_label("how much speaks for the finding (Grad-CAM)", fontsize=9, color=_INK)
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "most"])
    bar.ax.tick_params(labelsize=8, colors=_INK)
    bar.outline.set_visible(False)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure, dpi: int = 160) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _style(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_RULE)
    axis.tick_params(colors=_INK, labelsize=9)
    axis.xaxis.label.set_color(_INK)
    axis.yaxis.label.set_color(_INK)
    axis.grid(color="#e8ecee", linewidth=0.8)
    axis.set_axisbelow(True)


def _plain(text: str) -> str:
    """A finding may be called anything; ``$`` would start a formula."""
    return text.replace("$", r"\$")
