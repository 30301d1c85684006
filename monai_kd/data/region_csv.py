# SPDX-License-Identifier: Apache-2.0
"""Regions from CSV: one box or point per row, or one image per row with JSON lists in its cells.

- ``x_min, y_min, x_max, y_max``: one box per row, maxima exclusive;
- ``x, y, width, height``: the same by its corner and size;
- ``x, y``: one point per row, with its ``radius`` in pixels if there is such a column;
- ``boxes_xyxy`` and/or ``polygons_xy``: JSON lists of all drawings of the row's image. Where a row
  has polygons they are taken and its boxes are not: they outline the same thing more closely.

A row whose cells are empty (or ``[]``) says that someone looked and drew nothing. An optional
column ``finding`` names what was drawn (``box_labels``: a JSON list, one name per box).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_kd.data.region_table import RegionTable
from monai_kd.data.tables import IMAGE_COLUMNS, Table, first_known, is_blank, read_table
from monai_kd.utils import MonaiKDError, did_you_mean

__all__ = ["read_csv_regions"]

_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_SIZES = ("x", "y", "width", "height")
_POINT = ("x", "y")
_SIZE_NAMES = {"w", "h", "width", "height", "x2", "y2", "xmax", "ymax", "dx", "dy"}
_LISTS = ("boxes_xyxy", "polygons_xy")
_FINDINGS = ("finding", "finding_label", "Finding Label", "category", "class_name")


def read_csv_regions(path: Path) -> RegionTable:
    """Read a CSV of boxes, points or polygons.

    Args:
        path: CSV with a header, in one of the layouts above; other columns are ignored.

    Returns:
        Regions per image name, as the CSV writes it.

    Raises:
        MonaiKDError: if columns are missing, or a cell does not hold what its column promises.
    """
    rows = read_table(path, "read_regions")
    image_column = first_known(IMAGE_COLUMNS, rows.columns)
    if image_column is None:
        raise _no_columns(rows.columns, [*IMAGE_COLUMNS[:1], *_CORNERS])
    read_row = _layout(rows)
    table = RegionTable()
    for number, row in enumerate(rows.rows):
        try:
            table.setdefault(row[image_column].strip(), []).extend(read_row(row))
        except _CellError as error:
            raise MonaiKDError(f"read_regions: CSV row {number + 1}: {error}") from None
        except (TypeError, ValueError):  # their text would repeat the cell
            raise MonaiKDError(
                f"read_regions: CSV row {number + 1}: coordinates must be numbers, got other text."
            ) from None
    return table


class _CellError(Exception):
    """What is wrong with a row, without its content."""


def _layout(table: Table) -> Callable[[Mapping[str, str]], list[dict[str, Any]]]:
    finding = first_known(_FINDINGS, table.columns)
    if any(column in table.columns for column in _LISTS):
        return lambda row: _listed(row, finding)
    for columns in (_CORNERS, _SIZES):
        if all(column in table.columns for column in columns):
            return lambda row: _one_box(row, columns, finding)
    has_sizes = any(re.sub(r"[\W_]+", "", name).casefold() in _SIZE_NAMES for name in table.columns)
    if all(column in table.columns for column in _POINT) and not has_sizes:
        return lambda row: _one_point(row, finding)
    nearest = _SIZES if {"width", "height"} & set(table.columns) else _CORNERS
    raise _no_columns(table.columns, nearest)


def _one_box(
    row: Mapping[str, str], columns: tuple[str, ...], finding: str | None
) -> list[dict[str, Any]]:
    numbers = _numbers(row, columns)
    if not numbers:
        return []
    x, y, right, bottom = numbers
    if columns == _SIZES:
        right, bottom = x + right, y + bottom
    return [{"box": [x, y, right, bottom], "finding": _name(row, finding)}]


def _one_point(row: Mapping[str, str], finding: str | None) -> list[dict[str, Any]]:
    point = _numbers(row, _POINT)
    if not point:
        return []
    radius = row.get("radius", "")
    size = {} if is_blank(radius) else {"radius": float(radius)}
    return [{"point": point, **size, "finding": _name(row, finding)}]


def _numbers(row: Mapping[str, str], columns: tuple[str, ...]) -> list[float]:
    """Return the cells as numbers; nothing if all of them are empty."""
    cells = [row[column] for column in columns]
    if all(is_blank(cell) for cell in cells):
        return []
    if any(is_blank(cell) for cell in cells):
        raise _CellError(f"{', '.join(columns)} must be all filled or all empty.")
    return [float(cell) for cell in cells]


def _listed(row: Mapping[str, str], finding: str | None) -> list[dict[str, Any]]:
    polygons = _json_list(row, "polygons_xy")
    boxes = _json_list(row, "boxes_xyxy")
    labels = _json_list(row, "box_labels")
    drawings: list[dict[str, Any]] = [{"polygon": _pairs(polygon)} for polygon in polygons] or [
        {"box": [float(value) for value in box]} for box in boxes
    ]
    names = [str(label) for label in labels] if labels else [_name(row, finding)] * len(drawings)
    if len(names) != len(drawings):
        raise _CellError(
            f"`box_labels` must have one name per drawing, got {len(names)} for {len(drawings)}."
        )
    return [{**drawing, "finding": name} for drawing, name in zip(drawings, names, strict=True)]


def _json_list(row: Mapping[str, str], column: str) -> list[Any]:
    cell = row.get(column, "")
    if is_blank(cell):
        return []
    try:
        values = json.loads(cell)
    except json.JSONDecodeError:
        values = None
    if not isinstance(values, list):
        raise _CellError(f"`{column}` must be a JSON list such as [[1, 2, 3, 4]], got other text.")
    return values


def _pairs(polygon: Any) -> list[list[float]]:
    """Return points from ``[[x, y], ...]`` or the flat ``[x, y, x, y, ...]``."""
    flat = [value for point in polygon for value in (point if isinstance(point, list) else [point])]
    if len(flat) < 6 or len(flat) % 2:
        raise _CellError(
            f"`polygons_xy` must have at least 3 points x, y, got {len(flat)} numbers."
        )
    return [[float(x), float(y)] for x, y in zip(flat[::2], flat[1::2], strict=True)]


def _name(row: Mapping[str, str], column: str | None) -> str | None:
    return None if column is None or is_blank(row[column]) else row[column].strip()


def _no_columns(columns: list[str], wanted: Any) -> MonaiKDError:
    missing = [column for column in wanted if column not in columns]
    near = "".join(
        f" For `{column}`, you have `{hint.split('`')[1]}`."
        for column in missing
        if (hint := did_you_mean(column, columns))
    )
    return MonaiKDError(
        f"read_regions: the CSV must have the columns image, {', '.join(_CORNERS)} (or "
        f"{', '.join(_SIZES)}; or x, y, radius; or boxes_xyxy, polygons_xy), got "
        f"{', '.join(columns[:20])}.{near}"
    )
