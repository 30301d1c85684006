# SPDX-License-Identifier: Apache-2.0
"""The page's curves: ROC, precision over recall, FROC, reliability."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.report.plot_style import COLORS, INK, RULE, figure_of, plain, png_bytes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["froc_png", "precision_recall_png", "reliability_png", "roc_png"]

FloatArray = NDArray[np.float64]
_MOST_INSIDE = 6  # findings in a legend that stands inside the plot
_MOST_IN_ROW = 6  # findings in rows of three reliability plots


def roc_png(
    prob: ArrayLike,
    label: ArrayLike,
    *,
    findings: Sequence[str],
    points: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> bytes:
    """Return ROC curves, one per finding that has both classes.

    Args:
        prob: probabilities, ``(N, C)``.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        findings: names of the C findings.
        points: rings to draw by finding, ``(1 - specificity, sensitivity)``; not drawn where
            there are more than six findings.
    """
    figure = figure_of(4.6, _height(findings))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=RULE, linewidth=1, linestyle=(0, (4, 3)))
    _draw_curves(axis, prob, label, findings, _roc_points)
    for column, name in enumerate(findings):
        for x, y in (points or {}).get(name, ()) if len(findings) <= _MOST_INSIDE else ():
            color = COLORS[column % len(COLORS)]
            axis.plot(x, y, "o", ms=8, mfc="white", mec=color, mew=2.2, clip_on=False, zorder=5)
    axis.set(xlabel="1 − specificity", ylabel="sensitivity")  # noqa: RUF001
    _unit_square(axis, "lower right")
    return png_bytes(figure)


def precision_recall_png(prob: ArrayLike, label: ArrayLike, *, findings: Sequence[str]) -> bytes:
    """Return precision over recall; of up to six findings also, dotted, what chance would reach.

    Args:
        prob: probabilities, ``(N, C)``.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        findings: names of the C findings.
    """
    figure = figure_of(4.6, _height(findings))
    axis = figure.subplots()
    truth = np.asarray(label, np.float64)
    for column in range(len(findings)):
        known = truth[:, column][~np.isnan(truth[:, column])]
        if 0 < known.sum() < len(known) and len(findings) <= _MOST_INSIDE:
            color = COLORS[column % len(COLORS)]
            axis.axhline(known.mean(), color=color, linewidth=0.9, linestyle=(0, (1, 3)))
    _draw_curves(axis, prob, label, findings, _precision_recall_points)
    axis.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)")
    _unit_square(axis, "lower left")
    return png_bytes(figure)


def froc_png(localization: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the share of lesions found over false positives per image, with its intervals.

    Args:
        localization: by finding ``curve`` (``fp_per_image`` and ``recall``), and ``fp_per_image``,
            ``recall`` and ``recall_ci`` at the stated rates.
    """
    figure = figure_of(5.6, _height(list(localization)) - 0.3)
    axis = figure.subplots()
    for number, (name, found) in enumerate(localization.items()):
        color = COLORS[number % len(COLORS)]
        curve = found["curve"]
        axis.step(
            curve["fp_per_image"], curve["recall"], where="post", color=color, linewidth=2,
            label=plain(name),
        )  # fmt: skip
        shift = 0.006 * (number - (len(localization) - 1) / 2)
        for rate, recall, limits in zip(
            found["fp_per_image"], found["recall"], found.get("recall_ci") or [], strict=False
        ):
            if recall is None:
                continue
            if limits:
                axis.plot([rate + shift] * 2, limits, color=color, linewidth=1.4, alpha=0.65)
            axis.plot(rate + shift, recall, "o", ms=5, color=color)
    last = max(max(found["fp_per_image"]) for found in localization.values())
    axis.set(xlabel="false positives per image", ylabel="share of lesions found")
    axis.set(xlim=(-0.02 * last, 1.08 * last), ylim=(-0.01, 1.01))
    style(axis)
    highest = max(max(found["curve"]["recall"], default=0) for found in localization.values())
    _legend(axis, "lower right" if highest > 0.5 else "upper left")
    return png_bytes(figure)


def reliability_png(reliability: Mapping[str, Mapping[str, Sequence[Any]]]) -> bytes:
    """Return one small plot per finding: how often it is there over what the model says.

    Args:
        reliability: by finding ``mean_prob``, ``share``, ``low``, ``high`` and ``n`` of each bin.
    """
    columns = min(3 if len(reliability) <= _MOST_IN_ROW else 5, len(reliability))
    rows = -(-len(reliability) // columns)
    size = 2.9 if columns <= 3 else 1.9
    figure = figure_of(0.3 + size * columns, (size + 0.15) * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.ravel()[len(reliability) :]:
        axis.set_visible(False)
    for number, (axis, (name, bins)) in enumerate(
        zip(axes.ravel(), reliability.items(), strict=False)
    ):
        _draw_reliability(axis, bins, COLORS[number % len(COLORS)])
        axis.set_title(plain(name), fontsize=11 if columns <= 3 else 9, color=INK, loc="left")
    figure.supxlabel("probability that the model gives", fontsize=10.5, color=INK)
    figure.supylabel("share that has the finding", fontsize=10.5, color=INK)
    return png_bytes(figure)


def _draw_reliability(axis: Axes, bins: Mapping[str, Sequence[Any]], color: str) -> None:
    axis.plot([0, 1], [0, 1], color=RULE, linewidth=1, linestyle=(0, (4, 3)))
    at, share = _floats(bins["mean_prob"]), _floats(bins["share"])
    low, high = _floats(bins.get("low") or share), _floats(bins.get("high") or share)
    axis.vlines(at, low, high, color=color, linewidth=2.4, alpha=0.35)
    axis.plot(at, share, "o-", color=color, linewidth=1.3, ms=5)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axis.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    axis.set_yticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    style(axis)


def _floats(values: Any) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _draw_curves(
    axis: Axes,
    prob: ArrayLike,
    label: ArrayLike,
    findings: Sequence[str],
    points_of: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray] | None],
) -> None:
    probs, truth = np.asarray(prob, np.float64), np.asarray(label, np.float64)
    for column, name in enumerate(findings):
        known = ~np.isnan(truth[:, column])
        curve = points_of(probs[known, column], truth[known, column])
        if curve is not None:
            line = "-" if column < len(COLORS) else "--"
            color = COLORS[column % len(COLORS)]
            width = 2 if len(findings) <= _MOST_INSIDE else 1.4
            axis.plot(*curve, line, color=color, linewidth=width, label=plain(name))


def _unit_square(axis: Axes, corner: str) -> None:
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    style(axis)
    _legend(axis, corner)


def _height(findings: Sequence[str]) -> float:
    """Inches of a plot: many findings are named below it."""
    return 4.5 + (0.2 * -(-len(findings) // 3) + 0.1 if len(findings) > _MOST_INSIDE else 0)


def _legend(axis: Axes, corner: str) -> None:
    """Inside the plot, or, where it would hide the curves, below it."""
    lines, names = axis.get_legend_handles_labels()
    if len(names) > _MOST_INSIDE:
        axis.figure.legend(
            lines, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5,
            labelcolor=INK, columnspacing=1.2,
        )  # fmt: skip
    elif names:
        axis.legend(frameon=False, loc=corner, fontsize=10, labelcolor=INK)  # type: ignore[call-overload]


def _counts(prob: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Hits and alarms at every threshold, from the highest on; ties are one threshold."""
    order = np.argsort(-prob, kind="stable")
    last_of_tie = np.append(np.diff(prob[order]) != 0, True)
    hits = np.cumsum(truth[order] == 1)[last_of_tie]
    alarms = np.cumsum(truth[order] == 0)[last_of_tie]
    return hits.astype(np.float64), alarms.astype(np.float64)


def _roc_points(prob: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if not positives or not negatives:
        return None
    hits, alarms = _counts(prob, truth)
    return np.append(0, alarms / negatives), np.append(0, hits / positives)


def _precision_recall_points(
    prob: FloatArray, truth: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if not positives or not negatives:
        return None
    hits, alarms = _counts(prob, truth)
    precision = hits / (hits + alarms)
    # scikit-learn begins at a precision of 1, which nothing has measured
    return np.append(0, hits / positives), np.append(precision[0], precision)
