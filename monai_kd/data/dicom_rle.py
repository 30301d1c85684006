# SPDX-License-Identifier: Apache-2.0
"""Decode RLE Lossless (DICOM PS3.5 annex G) with Pillow's PackBits, which is the same code.

A noisy radiograph has half a million runs, too many to visit one by one in Python.
"""

from __future__ import annotations

import functools
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_kd.data.lookup import Words

__all__ = ["decode_rle"]

ITEM = b"\xfe\xff\x00\xe0"  # tag before the table of offsets and before each fragment
HEADER = struct.Struct("<16L")  # number of segments, then where each begins


def decode_rle(pixel_data: bytes, shape: tuple[int, int], bits_allocated: int) -> Words | None:
    """Return ``(H, W)`` unsigned words, or None when the data are not as plain as expected.

    Args:
        pixel_data: encapsulated pixel data of one frame.
        shape: ``(H, W)``.
        bits_allocated: bits of a word, 8 or 16.
    """
    if bits_allocated not in (8, 16):
        return None
    size, planes = shape[0] * shape[1], bits_allocated // 8
    try:
        frame = _only_fragment(memoryview(pixel_data))
        count, *starts = HEADER.unpack_from(frame)
        if count != planes:
            return None
        decoded = np.empty((planes, size), dtype=np.uint8)
        for plane, start in enumerate(starts[:count]):  # most significant byte first
            end = starts[plane + 1] if plane + 1 < count else len(frame)
            _unpack(frame[start:end], decoded[plane])
    except Exception:  # damaged: the general decoder says so
        return None
    return (decoded[0] if planes == 1 else _joined(*decoded)).reshape(shape)


def _unpack(segment: memoryview, plane: NDArray[np.uint8]) -> None:
    """Decode one segment into a row of bytes, without a copy where Pillow can do that."""
    size = (plane.size, 1)
    if _pillow_shares_memory():
        image = Image.frombuffer("L", size, plane, "raw", "L", 0, 1)
        image.frombytes(segment, "packbits", "L")
    else:
        plane[:] = np.asarray(Image.frombytes("L", size, segment, "packbits", "L"))[0]


@functools.lru_cache(maxsize=1)
def _pillow_shares_memory() -> bool:
    """Whether an image made of a buffer writes into that buffer; no promise of Pillow's."""
    row = np.zeros(2, dtype=np.uint8)
    Image.frombuffer("L", (2, 1), row, "raw", "L", 0, 1).frombytes(b"\x01\x05\x06", "packbits", "L")
    return row.tolist() == [5, 6]


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> Words:
    """Return 16 bit words of their bytes."""
    words: Words = high.astype(np.uint16)
    np.left_shift(words, 8, out=words)
    return np.bitwise_or(words, low, out=words)


def _only_fragment(pixel_data: memoryview) -> memoryview:
    """Return what follows the table of offsets: a frame of RLE is one fragment, always."""
    begin = 8 + int.from_bytes(pixel_data[4:8], "little")
    if pixel_data[:4] != ITEM or pixel_data[begin : begin + 4] != ITEM:
        raise ValueError
    length = int.from_bytes(pixel_data[begin + 4 : begin + 8], "little")
    return pixel_data[begin + 8 : begin + 8 + length]
