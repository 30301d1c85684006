# SPDX-License-Identifier: Apache-2.0
"""A table that grows by a row, in which a run that was resumed does not repeat itself."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_kd.utils import write_text_atomically

__all__ = ["append_row"]


def append_row(
    path: Path, row: Mapping[str, Any], *, count: str = "iteration", since: int | None = None
) -> None:
    """Write a row after the earlier ones of its phase; later ones of its phase go.

    The file is replaced in one step. Columns come in the order in which they appear first.

    Args:
        path: the table; need not be there yet.
        row: ``phase``, the column named by ``count``, and any others. Floats are written with six
            digits, NaN as an empty cell.
        count: the column that tells earlier from later.
        since: where the row before this one was; what is between the two goes as well.
    """
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows += [
                earlier for earlier in csv.DictReader(file) if _stays(earlier, row, count, since)
            ]
    rows.append({name: _short(value) for name, value in row.items()})
    names = list(dict.fromkeys(name for entry in rows for name in entry))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomically(path, text.getvalue())


def _stays(
    earlier: Mapping[str, str], row: Mapping[str, Any], count: str, since: int | None
) -> bool:
    last = int(row[count]) - 1 if since is None else min(since, int(row[count]) - 1)
    return earlier["phase"] != row["phase"] or int(earlier[count]) <= last


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"
