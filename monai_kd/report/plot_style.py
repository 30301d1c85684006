# SPDX-License-Identifier: Apache-2.0
"""What the page's pictures share: colors, axes, PNG bytes; no global state of matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLORS", "INK", "RULE", "figure_of", "page_width", "plain", "png_bytes", "style"]

COLORS = ("#0b5c6b", "#c8553d", "#6a7b3c", "#7a5195", "#b8860b", "#4a6fa5")
"""Lines of the findings, in their order; they begin anew after the sixth, dashed."""
INK, RULE = "#33404a", "#b9c2c7"
_DPI = 165
_PAGE_DPI = 100  # the page's, where a plot fills a column, or all of it


def figure_of(width: float, height: float) -> Figure:
    """Return an empty figure.

    Args:
        width: inches.
        height: inches.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def png_bytes(figure: Figure, dpi: int = _DPI) -> bytes:
    """Return a figure as PNG, of few colors, so that it is small; nothing but pixels is in it.

    Args:
        figure: what was drawn.
        dpi: pixels per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    drawn = Image.fromarray(pixels).convert("RGB")
    few = drawn.quantize(64, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, format="PNG")
    return buffer.getvalue()


def page_width(png: bytes) -> int:
    """Return how wide a plot may be on the page, so that its letters are as large as of others.

    Args:
        png: from :func:`png_bytes`, with its ``dpi``.
    """
    pixels = int.from_bytes(png[16:20], "big")  # the header begins with the width
    return round(pixels * _PAGE_DPI / _DPI)


def style(axis: Axes) -> None:
    """Draw an axis as lightly as the page is.

    Args:
        axis: where something was drawn.
    """
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(RULE)
    axis.tick_params(colors=INK, labelsize=9.5, length=3)
    axis.xaxis.label.set(color=INK, fontsize=10.5)
    axis.yaxis.label.set(color=INK, fontsize=10.5)
    axis.grid(color="#e8ecee", linewidth=0.8)
    axis.set_axisbelow(True)


def plain(text: str) -> str:
    r"""Return a text that starts no formula: a finding may be called anything, also ``$x$``.

    Args:
        text: name of a finding.
    """
    return text.replace("$", r"\$")
