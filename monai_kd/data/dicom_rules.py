# SPDX-License-Identifier: Apache-2.0
"""What a DICOM header says about gray: tables, windows, polarity, padding."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom import Dataset

from monai_kd.data.gray import GrayRules, LookupTable, Window

__all__ = ["gray_rules", "numbers", "text"]


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return the values of a numeric element; empty when it is absent or not numeric.

    Args:
        dataset: header.
        keyword: DICOM keyword.
    """
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return []
        several = not isinstance(value, (str, bytes, int, float)) and hasattr(value, "__iter__")
        return [float(one) for one in (value if several else [value])]
    except (ValueError, TypeError, OverflowError):
        return []


def text(dataset: Dataset, keyword: str) -> str:
    """Return a coded string as it stands in the file; ``""`` when absent.

    The raw bytes are taken, because pydicom's own conversion warns with the value when it does not
    like it, and a misused element may hold a name.

    Args:
        dataset: header.
        keyword: DICOM keyword.
    """
    if keyword not in dataset:
        return ""
    value = dataset.get_item(keyword).value
    plain = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return plain.strip(" \0").upper()


def gray_rules(dataset: Dataset, stored_range: tuple[float, float]) -> GrayRules:
    """Read the rules that lead from stored values to gray.

    Polarity is turned once, when either MONOCHROME1 or a presentation shape INVERSE asks for it:
    a DX file says both and means one thing (PS3.3 C.8.11.3.1.2).

    Args:
        dataset: header.
        stored_range: smallest and largest value that can be stored.
    """
    slope = numbers(dataset, "RescaleSlope")
    intercept = numbers(dataset, "RescaleIntercept")
    rescale = GrayRules(
        slope=slope[0] if slope and slope[0] else 1.0,  # a slope of 0 would blank the picture
        intercept=intercept[0] if intercept else 0.0,
        modality=_table(dataset, "ModalityLUTSequence", signed=stored_range[0] < 0),
    )
    signed = rescale.rescaled_range(stored_range)[0] < 0
    return GrayRules(
        slope=rescale.slope,
        intercept=rescale.intercept,
        modality=rescale.modality,
        table=_table(dataset, "VOILUTSequence", signed=signed),
        window=_window(dataset),
        inverted="MONOCHROME1" in text(dataset, "PhotometricInterpretation")
        or text(dataset, "PresentationLUTShape") == "INVERSE",
        padding=_padding(dataset, stored_range),
    )


def _window(dataset: Dataset) -> Window | None:
    """Return the first window; of several, a viewer shows this one first too."""
    center, width = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not center or not width:
        return None
    return Window(center[0], width[0], text(dataset, "VOILUTFunction") or "LINEAR")


def _table(dataset: Dataset, keyword: str, *, signed: bool) -> LookupTable | None:
    """Return the first table of a sequence; None when it is absent or can not be read."""
    sequence = dataset.get(keyword)
    if not sequence:
        return None
    descriptor = [int(value) for value in numbers(sequence[0], "LUTDescriptor")]
    data = sequence[0].get("LUTData")
    if len(descriptor) != 3 or data is None:
        return None
    count, first, bits = (descriptor[0] & 0xFFFF) or 2**16, descriptor[1], descriptor[2]
    if signed and first >= 2**15:  # a negative start, written in an unsigned element
        first -= 2**16
    entries = _entries(data, count, bits, little_endian=_is_little_endian(dataset))
    if not len(entries) or not 1 <= bits <= 16:
        return None
    return LookupTable(first, entries.astype(np.float64), _true_bits(int(entries.max()), bits))


def _entries(data: Any, count: int, bits: int, *, little_endian: bool) -> np.ndarray[Any, Any]:
    """Return the entries of a table: words, or bytes packed two to a word."""
    order = "<" if little_endian else ">"
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], dtype=f"{order}u2").astype("<u2")
    else:
        words = (np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF).astype("<u2")
    packed = bits <= 8 and len(words) < count <= 2 * len(words)
    return words.view(np.uint8)[:count] if packed else words[:count]


def _true_bits(largest: int, declared: int) -> int:
    """Return the bits that the entries really use.

    Writers often declare 16 bits for entries of 10 or 12; believed, the picture would be black.
    Any other declaration is taken at its word unless entries exceed it.
    """
    needed = max(1, largest.bit_length())
    return needed if declared == 16 else max(declared, needed)


def _is_little_endian(dataset: Dataset) -> bool:
    return dataset.original_encoding[1] is not False


def _padding(dataset: Dataset, stored_range: tuple[float, float]) -> tuple[int, int] | None:
    value = numbers(dataset, "PixelPaddingValue")
    if not value:
        return None
    limit = numbers(dataset, "PixelPaddingRangeLimit") or value
    ends = [
        end - 2**16 if end > stored_range[1] and stored_range[0] < 0 else end
        for end in (value[0], limit[0])
    ]
    return int(min(ends)), int(max(ends))
