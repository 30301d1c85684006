# SPDX-License-Identifier: Apache-2.0
"""Small CSV tables with a header: labels and boxes as hospitals and public archives write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from monai_kd.utils import MonaiKDError

__all__ = ["IMAGE_COLUMNS", "Table", "first_known", "is_blank", "read_table"]

IMAGE_COLUMNS = (
    "image", "file_name", "filename", "file", "path", "image_id", "Image Index", "image_name",
    "patientId",
)  # fmt: skip

_BLANKS = frozenset({"", "na", "n/a", "nan", "none", "null", "?"})


class Table(NamedTuple):
    """Columns in the file's order, and rows by column name.

    Attributes:
        columns: names in the header.
        rows: one mapping per line; every column is there, as text.
    """

    columns: list[str]
    rows: list[dict[str, str]]


def read_table(path: Path, caller: str) -> Table:
    """Read a CSV file with a header; comma, semicolon or tab is found from the header.

    Args:
        path: UTF-8 text.
        caller: who is named in an error.

    Raises:
        MonaiKDError: if the file is missing, is not text, has no rows or ragged rows.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MonaiKDError(
            f"{caller}: the CSV file must exist, got none. Check its path."
        ) from None
    except UnicodeDecodeError:
        raise MonaiKDError(
            f"{caller}: the CSV must be UTF-8 text, got other bytes. Save it as CSV (UTF-8)."
        ) from None
    header, _, _ = text.partition("\n")
    delimiter = max(",;\t", key=header.count)
    lines = [
        line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(line)
    ]
    if len(lines) < 2:
        raise MonaiKDError(
            f"{caller}: the CSV must have a header and rows, got {len(lines)} lines."
        )
    columns = [name.strip() for name in lines[0]]
    if len(set(columns)) < len(columns):
        raise MonaiKDError(f"{caller}: the CSV must name each column once, got a name twice.")
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(columns):
            raise MonaiKDError(
                f"{caller}: CSV row {number} must have {len(columns)} cells as the header has, got "
                f"{len(line)}. Put cells that hold a comma in double quotes."
            )
    return Table(columns, [dict(zip(columns, line, strict=True)) for line in lines[1:]])


def is_blank(cell: str) -> bool:
    """Return whether a cell says nothing: empty, ``NA``, ``NaN``, ``None``, ``null`` or ``?``.

    Args:
        cell: text of the cell.
    """
    return cell.strip().lower() in _BLANKS


def first_known(names: Sequence[str], columns: Iterable[str]) -> str | None:
    """Return the first of ``names`` that is a column (exactly, else ignoring case), or None.

    Args:
        names: what is looked for, the best first.
        columns: what is there.
    """
    exact = list(columns)
    lower = {column.lower(): column for column in exact}
    for name in names:
        if name in exact:
            return name
    return next((lower[name.lower()] for name in names if name.lower() in lower), None)
