# SPDX-License-Identifier: Apache-2.0
"""Rows of the cache in memory or in a folder that is whole or absent."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.data.cache_rows import Field, RowLayout
from monai_kd.utils import MonaiKDError

try:
    import fcntl
except ImportError:  # Windows: builds at the same time are both done, one is kept
    fcntl = None  # type: ignore[assignment]

__all__ = ["Row", "RowStore", "locked", "open_store", "store_in_folder", "store_in_memory"]

Row = tuple[int, NDArray[np.uint8], dict[str, NDArray[Any]]]
"""Number of the item, its row, its small values."""


@dataclass
class RowStore:
    """All rows; those of a folder are mapped into memory when first read, in each process anew.

    Args:
        layout: what lies in a row.
        numbers: ``(rows,)``, number of the item in each row.
        small: small values of all items by name, ``(rows, ...)``.
        left_out: items that could not be prepared when this was built.
        rows: the rows in memory, ``(rows, row_bytes)``, or the file that holds them.
    """

    layout: RowLayout
    numbers: NDArray[np.int64]
    small: dict[str, NDArray[Any]]
    left_out: int
    rows: NDArray[np.uint8] | Path

    def __post_init__(self) -> None:
        self._mapped: NDArray[np.uint8] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped file out: each process maps it itself."""
        return {**self.__dict__, "_mapped": None}

    def row(self, position: int) -> NDArray[np.uint8]:
        """Return one row, ``(row_bytes,)``, read-only.

        Args:
            position: 0 to the number of rows - 1.
        """
        if self._mapped is None:
            shape = (len(self.numbers), self.layout.row_bytes)
            if isinstance(self.rows, Path) and 0 not in shape:
                self._mapped = np.asarray(np.memmap(self.rows, np.uint8, mode="r", shape=shape))
            elif isinstance(self.rows, Path):  # no images, labels alone
                self._mapped = np.zeros(shape, dtype=np.uint8)
            else:
                self._mapped = self.rows
        row: NDArray[np.uint8] = self._mapped[position]
        return row


def store_in_memory(rows: Iterable[Row], layout: RowLayout, total: int) -> RowStore:
    """Keep the rows in this process.

    Args:
        rows: the readable items, in order.
        layout: what lies in a row.
        total: number of items, readable or not.
    """
    kept = np.empty((total, layout.row_bytes), dtype=np.uint8)
    numbers: list[int] = []
    small: list[dict[str, NDArray[Any]]] = []
    for number, row, values in rows:
        kept[len(numbers)] = row
        numbers.append(number)
        small.append(values)
    columns = _columns(layout, numbers, small)
    count = len(numbers)
    return RowStore(layout, np.array(numbers, np.int64), columns, total - count, kept[:count])


def store_in_folder(rows: Iterable[Row], layout: RowLayout, total: int, folder: Path) -> RowStore:
    """Write the rows beside ``folder``, and give them its name when all are there.

    Args:
        rows: the readable items, in order.
        layout: what lies in a row.
        total: number of items, readable or not.
        folder: where they are to be found afterwards.

    Raises:
        MonaiKDError: if the disk is full; nothing is left behind.
    """
    with _full_disk_explained(total * layout.row_bytes, folder.parent):
        _write(rows, layout, total, folder)
    store = open_store(folder)
    if store is None:
        raise MonaiKDError(
            "CachedDataset: what was written to `cache_dir` cannot be read back. Choose a "
            "`cache_dir` on a local disk, or None to keep the images in memory."
        )
    return store


def _write(rows: Iterable[Row], layout: RowLayout, total: int, folder: Path) -> None:
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    numbers: list[int] = []
    small: list[dict[str, NDArray[Any]]] = []
    try:
        with (unfinished / "rows.u8").open("wb") as file:
            for number, row, values in rows:
                file.write(row.data)
                numbers.append(number)
                small.append(values)
            file.flush()
            os.fsync(file.fileno())
        head = {
            "fields": [asdict(field) for field in layout.fields],
            "small": layout.small,
            "absent": sorted(layout.absent),
            "left_out": total - len(numbers),
        }
        (unfinished / "layout.json").write_text(json.dumps(head))
        columns = _columns(layout, numbers, small)
        with (unfinished / "small.npz").open("wb") as file:
            np.savez(file, number=np.array(numbers, np.int64), **_prefixed(columns))
            file.flush()
            os.fsync(file.fileno())
        _take_name(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def open_store(folder: Path) -> RowStore | None:
    """Return the rows of a folder, or None when they are not there, not whole or not ours.

    Args:
        folder: as given to :func:`store_in_folder`.
    """
    try:
        head = json.loads((folder / "layout.json").read_text())
        fields = tuple(Field(f["key"], f["kind"], tuple(f["shape"])) for f in head["fields"])
        layout = RowLayout(fields, tuple(head["small"]), set(head["absent"]))
        with np.load(folder / "small.npz") as file:
            numbers = file["number"]
            small = {key: file[f"value_{key}"] for key in layout.small}
        whole = (folder / "rows.u8").stat().st_size == len(numbers) * layout.row_bytes
        store = RowStore(layout, numbers, small, int(head["left_out"]), folder / "rows.u8")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    return store if whole else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process build ``folder`` at a time; the others wait. Sweep up what a killed one left.

    Args:
        folder: the folder to be built.
    """
    with folder.with_suffix(".lock").open("w") as file:
        # AttributeError: no fcntl on Windows; OSError: a file system without locks
        with contextlib.suppress(AttributeError, OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
            for unfinished in folder.parent.glob(f"{folder.name}.*/"):
                shutil.rmtree(unfinished, ignore_errors=True)
        yield


def _take_name(unfinished: Path, folder: Path) -> None:
    """Rename; if another process was faster, its folder stays and this one is given up."""
    if open_store(folder) is not None:
        return
    shutil.rmtree(folder, ignore_errors=True)  # broken, or it would have opened
    try:
        unfinished.rename(folder)
    except OSError:
        if open_store(folder) is None:
            raise


def _columns(
    layout: RowLayout, numbers: list[int], small: list[dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    columns = {}
    for key in layout.small:
        shapes = {values[key].shape: number for number, values in zip(numbers, small, strict=True)}
        if len(shapes) > 1:
            items = " and ".join(f"{shape} in item {number}" for shape, number in shapes.items())
            raise MonaiKDError(
                f"CachedDataset: `{key}` must have one shape in all items, got {items}. "
                "Make it so in `prepare`."
            )
        columns[key] = np.stack([values[key] for values in small]) if small else np.empty(0)
    return columns


def _prefixed(columns: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {f"value_{key}": column for key, column in columns.items()}


@contextlib.contextmanager
def _full_disk_explained(needed: int, folder: Path) -> Iterator[None]:
    free = shutil.disk_usage(folder).free
    problem = MonaiKDError(
        f"CachedDataset: the disk of `cache_dir` must have {needed / 1e6:.1f} MB free, got "
        f"{free / 1e6:.1f} MB. Free some space, choose another `cache_dir`, or set it to None to "
        "keep the decoded images in memory."
    )
    if free < needed:
        raise problem
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise problem from None
        raise
