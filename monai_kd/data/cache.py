# SPDX-License-Identifier: Apache-2.0
"""Decode each image once; draw the random part of its preparation anew each time, reproducibly."""

from __future__ import annotations

import copy
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from monai_kd.data.cache_key import content_key, random_parts
from monai_kd.data.cache_rows import RowLayout
from monai_kd.data.cache_store import (
    Row,
    RowStore,
    locked,
    open_store,
    store_in_folder,
    store_in_memory,
)
from monai_kd.utils import MonaiKDError, check_choice

__all__ = ["CachedDataset"]

_log = logging.getLogger(__name__)
_NOT_PASSED_ON = ("image", "label", "regions", "lung_mask", "pixel_sha256", "index")
_CHUNK = 64  # rows in flight while building
_LONGEST_TEXT = 256  # longer entries, such as whole reports, are not passed on
_LISTED = 20  # unreadable items named in one message

Prepare = Callable[[dict[str, Any]], Mapping[str, Any]]
Augment = Callable[[dict[str, Any]], dict[str, Any]]


class CachedDataset(Dataset[dict[str, Any]]):
    """Images that are read and prepared once, and augmented each time they are asked for.

    The deterministic part runs when the data set is made, on a few threads. Images are kept in 16
    bits, masks in one, from the first epoch on, so that every epoch sees the same values. With a
    ``cache_dir`` they are kept in a file that later runs, other processes and all workers share;
    it is found by the content of the image files, the rest of the items and the settings, so that
    nothing stale is served, and it holds no file name and no id.

    ``dataset[epoch, index]`` seeds every random transform from ``(seed, epoch, index)``: neither
    the number of workers nor what was asked before changes the result.
    :class:`~monai_kd.data.EpochSampler` yields such pairs; ``dataset[index]`` is epoch 0.

    Each item holds the arrays that ``prepare`` made (float32 tensors), its numbers and vectors,
    ``index`` (number of the item in ``data``), and those text and number entries that all items
    have, such as ``id`` and ``patient_id``, unchanged; never a file name or the regions as drawn.

    Args:
        data: the items, see :class:`~monai_kd.data.Datalist`.
        prepare: deterministic transform of one item. Its arrays with two or more axes must have one
            shape: floats in [0, 1] are images, names that end in ``mask`` are masks of 0 and 1.
        augment: random transform of one prepared item, drawing from its ``R`` as MONAI's do; None
            for validation.
        cache_dir: folder of the cache, made when missing. None keeps the rows in memory: forked
            workers share them, spawned ones get a copy each.
        seed: of the random transforms, 0 to 2**32 - 1.
        fingerprint: anything that the result of ``prepare`` depends on and that is not one of its
            attributes, such as the version of a library.
        on_error: ``"raise"`` after all items were tried, or ``"skip"`` what cannot be prepared.

    Raises:
        ValueError: if a setting is out of range, or ``prepare`` has random parts.
        MonaiKDError: if items cannot be prepared (all are listed by number), or the disk is full.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        *,
        prepare: Prepare,
        augment: Augment | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        seed: int = 0,
        fingerprint: str = "",
        on_error: str = "raise",
    ) -> None:
        check_choice("CachedDataset", "on_error", on_error, ("raise", "skip"))
        _refuse_random(prepare)
        if not 0 <= seed < 2**32:
            raise ValueError(
                f"CachedDataset: `seed` must be from 0 to 2**32 - 1, got {seed}. Choose another."
            )
        self.augment = augment
        self.seed = seed
        build = _Build(data, prepare, on_error)
        if cache_dir is None:
            self._store = build.in_memory()
        else:
            self._store = build.in_folder(Path(cache_dir), fingerprint)
        known = {*self._store.layout.small, *(field.key for field in self._store.layout.fields)}
        self._passed_on = _columns_of([data[number] for number in self._store.numbers], known)
        self._random = np.random.RandomState(0)
        self._random_parts = list(random_parts(augment))

    def __len__(self) -> int:
        """Return the number of items that could be prepared."""
        return len(self._store.numbers)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Any]:
        """Return one item, augmented.

        Args:
            index: position, or ``(epoch, position)``.

        Raises:
            IndexError: if the position is out of range.
        """
        epoch, position = index if isinstance(index, tuple) else (0, index)
        item = self._item(position)
        if self.augment is None:
            return item
        self._seed_augment(epoch, item["index"])
        return self.augment(item)

    def prepared_items(self) -> CachedDataset:
        """Return the same items without augmentation; they share the rows of this data set."""
        plain = copy.copy(self)
        plain.augment = None
        return plain

    def _item(self, position: int) -> dict[str, Any]:
        position = position + len(self) if position < 0 else position
        if not 0 <= position < len(self):
            raise IndexError(f"CachedDataset: index must be below {len(self)}, got {position}.")
        arrays = self._store.layout.decode(self._store.row(position))
        item: dict[str, Any] = {key: torch.from_numpy(array) for key, array in arrays.items()}
        for key, column in self._store.small.items():
            item[key] = torch.tensor(column[position])
        for key, column in self._passed_on.items():
            item[key] = column[position].item()
        item["index"] = int(self._store.numbers[position])
        return item

    def _seed_augment(self, epoch: int, number: int) -> None:
        """Let all random transforms draw from one stream that starts at (seed, epoch, number).

        ``Compose.set_random_state(seed)`` makes a new generator for each part, 0.1 ms each; to seed
        one and share it takes 0.01 ms.
        """
        self._random.seed([self.seed, epoch, number])
        for part in self._random_parts:
            if hasattr(part, "transforms"):  # a container would make new generators for its parts
                part.R = self._random
            else:
                part.set_random_state(state=self._random)


class _Build:
    """One pass over all items: prepare, encode, collect what cannot be read."""

    def __init__(self, items: Sequence[Mapping[str, Any]], prepare: Prepare, on_error: str) -> None:
        self.items = items
        self.prepare = prepare
        self.on_error = on_error
        self.reasons: dict[int, str] = {}

    def in_memory(self) -> RowStore:
        layout = self._layout()
        with _pool() as pool:
            return store_in_memory(self._rows(layout, pool, "memory"), layout, len(self.items))

    def in_folder(self, cache_dir: Path, fingerprint: str) -> RowStore:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _pool() as pool:
            key = content_key(
                self.items,
                prepare=self.prepare,
                fingerprint=fingerprint,
                cache_dir=cache_dir,
                pool=pool,
            )
            folder = cache_dir / key
            with locked(folder):
                store = open_store(folder)
                if store is None or (store.left_out and self.on_error == "raise"):
                    shutil.rmtree(folder, ignore_errors=True)
                    layout = self._layout()
                    rows = self._rows(layout, pool, "cache_dir")
                    return store_in_folder(rows, layout, len(self.items), folder)
        if store.left_out:
            _log.warning(
                "%d of %d items could not be prepared when the cache was built and are left out; "
                "empty `cache_dir` to try them again.",
                store.left_out,
                len(self.items),
            )
        return store

    def _layout(self) -> RowLayout:
        for number in range(len(self.items)):
            prepared = self._try(number, self._prepared)
            if prepared is not None:
                return RowLayout.of(prepared)
        raise self._error()

    def _rows(self, layout: RowLayout, pool: ThreadPoolExecutor, place: str) -> Iterator[Row]:
        total, started = len(self.items), time.monotonic()
        size = total * layout.row_bytes / 1e6
        _log.info("preparing %d images once, %.1f MB in %s", total, size, place)

        def make(number: int) -> Row:
            return number, *layout.encode(self._prepared(number))

        for start in range(0, total, _CHUNK):
            chunk = range(start, min(start + _CHUNK, total))
            for row in pool.map(lambda number: self._try(number, make), chunk):
                if row is not None:
                    yield row
        if self.reasons and (self.on_error == "raise" or len(self.reasons) == total):
            raise self._error()
        if self.reasons:
            _log.warning("left out: %s", self._list())
        for key in sorted(layout.absent):
            _log.warning("`%s` is not in every item and is left out of all.", key)
        _log.info("prepared in %.1f s", time.monotonic() - started)

    def _prepared(self, number: int) -> dict[str, Any]:
        """Return what ``prepare`` made, without the numbers that were in the item already."""
        item = self.items[number]
        prepared = self.prepare(dict(item))
        return {
            key: value
            for key, value in prepared.items()
            if key not in item or not isinstance(value, bool | int | float)
        }

    def _try(self, number: int, make: Callable[[int], Any]) -> Any:
        try:
            return make(number)
        except Exception as error:  # collected, and raised at the end
            self.reasons[number] = _reason(error)
            return None

    def _list(self) -> str:
        numbers = sorted(self.reasons)
        shown = "; ".join(f"item {n}: {self.reasons[n]}" for n in numbers[:_LISTED])
        more = len(numbers) - _LISTED
        return shown + (f"; and {more} more" if more > 0 else "")

    def _error(self) -> MonaiKDError:
        if not self.items:
            return MonaiKDError(
                "CachedDataset: `data` must hold at least one item, got none. "
                "Is a section of the datalist empty?"
            )
        return MonaiKDError(
            f"CachedDataset: {len(self.reasons)} of {len(self.items)} items cannot be prepared. "
            f"Mend or remove them, or set `on_error` to 'skip' (items count from 0). {self._list()}"
        )


def _reason(error: BaseException) -> str:
    """Say what went wrong without a file name: only our own messages are known to have none."""
    while not isinstance(error, MonaiKDError) and error.__cause__ is not None:
        error = error.__cause__  # MONAI wraps what a transform raises
    ours = isinstance(error, ValueError | KeyError) and re.match(r"\W?\w+: `", str(error))
    if isinstance(error, MonaiKDError) or ours:
        return str(error).rstrip(".")
    if isinstance(error, FileNotFoundError):
        return "a file is missing"
    if isinstance(error, OSError):
        return f"a file cannot be read ({type(error).__name__})"
    return f"{type(error).__name__} in `prepare`"


def _refuse_random(prepare: Prepare) -> None:
    random = [
        type(part).__name__ for part in random_parts(prepare) if not hasattr(part, "transforms")
    ]
    if random:
        raise ValueError(
            f"CachedDataset: `prepare` must be deterministic, got {', '.join(random)}. "
            "It runs once per image; give random transforms to `augment`."
        )


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))


def _columns_of(items: Sequence[Mapping[str, Any]], known: set[str]) -> dict[str, NDArray[Any]]:
    """Return the entries that all items have, as arrays: workers then share them without copies."""
    columns: dict[str, NDArray[Any]] = {}
    for key in items[0] if items else ():
        if key in known or key in _NOT_PASSED_ON:
            continue
        values = [item.get(key) for item in items]
        one_kind = any(
            all(type(value) in kinds for value in values)
            for kinds in ((str,), (bool,), (int,), (int, float))
        )
        if one_kind and max(len(str(value)) for value in values) <= _LONGEST_TEXT:
            columns[key] = np.array(values)
    return columns
