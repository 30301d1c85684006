# SPDX-License-Identifier: Apache-2.0
"""How one prepared image lies in the cache: images in 16 bits, masks in single bits, in one row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.utils import MonaiKDError

__all__ = ["Field", "RowLayout"]

_WHITE = 65535


@dataclass(frozen=True)
class Field:
    """One array of the row.

    Args:
        key: its name in the item.
        kind: ``"image"``, float in [0, 1], kept in 16 bits; ``"mask"``, 0 or 1, kept in one bit.
        shape: shape of the array, the same in all items.
    """

    key: str
    kind: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes it takes in a row."""
        size = math.prod(self.shape)
        return 2 * size if self.kind == "image" else -(-size // 8)


@dataclass(frozen=True)
class RowLayout:
    """Which arrays and which small values an item has; turns them into a row and back.

    Args:
        fields: arrays with two or more axes, in the order in which they lie in the row.
        small: names of numbers and vectors, kept apart in memory: label, annotation flags.
        absent: names of arrays that some item lacks; filled while encoding, not decoded.
    """

    fields: tuple[Field, ...]
    small: tuple[str, ...]
    absent: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, prepared: Mapping[str, Any]) -> RowLayout:
        """Return the layout of items like this one; strings, lists and None are left out.

        Args:
            prepared: what the deterministic transform made of an item.
        """
        fields, small = [], []
        for key, value in prepared.items():
            array = _as_array(value)
            if array is None:
                continue
            if array.ndim < 2:
                small.append(key)
            else:
                mask = key.endswith("mask") or array.dtype == bool
                fields.append(Field(key, "mask" if mask else "image", array.shape))
        fields.sort(key=lambda part: part.kind)  # images first: 16 bits stay aligned
        return cls(tuple(fields), tuple(small))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, a multiple of 64."""
        return -(-sum(part.nbytes for part in self.fields) // 64) * 64

    def encode(
        self, prepared: Mapping[str, Any]
    ) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
        """Return the row of an item, and its small values.

        Args:
            prepared: what the deterministic transform made of the item.

        Raises:
            MonaiKDError: if an array has another shape or range than the row holds, or a small
                value is missing.
        """
        row = np.zeros(self.row_bytes, dtype=np.uint8)
        start = 0
        for part in self.fields:
            array = _checked(part, prepared)
            if array is None:
                self.absent.add(part.key)
            elif part.kind == "image":
                # float64: the nearest of 65536 levels, and a level read back is the same level
                levels = np.rint(array.astype(np.float64) * _WHITE).astype("<u2")
                row[start : start + part.nbytes] = levels.reshape(-1).view(np.uint8)
            else:
                row[start : start + part.nbytes] = np.packbits(array.reshape(-1) != 0)
            start += part.nbytes
        small = {}
        for key in self.small:
            value = _as_array(prepared.get(key))
            if value is None or value.ndim > 1:
                raise MonaiKDError(f"`{key}` must be a number or a vector, as in the other items")
            small[key] = value
        return row, small

    def decode(self, row: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of a row, float32, images in [0, 1], masks 0 or 1; all are copies.

        Args:
            row: ``(row_bytes,)``, as made by :meth:`encode`.
        """
        out: dict[str, NDArray[np.float32]] = {}
        start = 0
        for part in self.fields:
            stored = row[start : start + part.nbytes]
            start += part.nbytes
            if part.key in self.absent:
                continue
            if part.kind == "image":
                flat = np.divide(stored.view("<u2"), np.float32(_WHITE), dtype=np.float32)
            else:
                flat = np.unpackbits(stored, count=math.prod(part.shape)).astype(np.float32)
            out[part.key] = flat.reshape(part.shape)
        return out


def _as_array(value: Any) -> NDArray[Any] | None:
    """Return a tensor, array or number as an array; None for everything else."""
    if hasattr(value, "detach"):  # a tensor of any kind, without importing its library
        value = value.detach().cpu().numpy()
    if isinstance(value, bool | int | float | np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value
    return None


def _checked(part: Field, prepared: Mapping[str, Any]) -> NDArray[Any] | None:
    array = _as_array(prepared.get(part.key))
    if array is None:
        return None
    if array.shape != part.shape:
        raise MonaiKDError(
            f"`{part.key}` must have the shape of the first readable item, {part.shape}, "
            f"got {array.shape}; resize in `prepare`"
        )
    if part.kind == "mask":
        if not ((array == 0) | (array == 1)).all():
            raise MonaiKDError(f"`{part.key}` must be 0 or 1 everywhere")
    elif not (array.min() >= 0 and array.max() <= 1):  # catches NaN
        raise MonaiKDError(
            f"`{part.key}` must lie in [0, 1], got {array.min():g} to {array.max():g}"
        )
    return array
