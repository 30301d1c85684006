# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown that no content can break out of, and numbers as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from monai_kd.report.common import is_interval

__all__ = ["cell", "number", "span", "table", "with_ci"]


def cell(text: Any) -> str:
    """Return a text that stays in its cell and is no markup.

    Args:
        text: anything that a file says.
    """
    words = " ".join(str(text).split())
    for sign, harmless in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), ("|", "\\|")):
        words = words.replace(sign, harmless)
    for sign in "`*_[]":
        words = words.replace(sign, f"\\{sign}")
    return words


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the cells are taken as they are, see :func:`cell`.

    Args:
        head: names of the columns.
        rows: as many cells each.
    """
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def number(value: Any, digits: int = 3) -> str:
    """Return a number, or a dash where there is none.

    Args:
        value: anything that a file holds.
        digits: decimals.
    """
    if isinstance(value, int | float) and math.isfinite(value):
        return f"{value:.{digits}f}"
    return "–"  # noqa: RUF001


def span(limits: Any, digits: int = 3) -> str:
    """Return confidence limits, or a dash where there are none.

    Args:
        limits: two numbers, or anything else.
        digits: decimals.
    """
    if not is_interval(limits):
        return "–"  # noqa: RUF001
    return " to ".join(number(limit, digits) for limit in limits)


def with_ci(value: Any, limits: Any, digits: int = 3) -> str:
    """Return a number and its limits in brackets, as far as they are known.

    Args:
        value: the estimate.
        limits: its confidence limits, or None.
        digits: decimals.
    """
    if not is_interval(limits):
        return number(value, digits)
    return f"{number(value, digits)} ({span(limits, digits)})"
