# SPDX-License-Identifier: Apache-2.0
"""Read one DICOM radiograph: pixels, their meaning, and tags that can not tell whose it is.

Only the elements of ``KEYWORDS`` are parsed. Dates, UIDs, names, private elements and the whole of
group 0010 (the patient) are skipped on the way and are never in memory as values.
"""

from __future__ import annotations

import io
import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import Decoder
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from monai_kd.data.dicom_rle import decode_rle
from monai_kd.data.dicom_rules import gray_rules, numbers, text
from monai_kd.data.dicom_tags import DICOM_TAGS, safe_tags
from monai_kd.data.lookup import RadiographError, StoredPicture, Words

__all__ = ["read_dicom"]

KEYWORDS = (
    *DICOM_TAGS,
    "ImagerPixelSpacing",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTFunction",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "PresentationLUTShape",
    "PixelData",
)
ELEMENTS = [Tag(keyword) for keyword in KEYWORDS]  # looked up once, not for each file
COMPLAINT = "read_radiograph: the DICOM file"
PIXEL_DATA = b"\xe0\x7f\x10\x00"  # the tag, little-endian
PLAIN_HEADERS = {ImplicitVRLittleEndian: 8, ExplicitVRLittleEndian: 12}  # bytes before the pixels
INSTALL = 'pip install "monai-kd[dicom]"'


def read_dicom(path: str | os.PathLike[str]) -> StoredPicture:
    """Read a DICOM file of one gray frame.

    Args:
        path: file, with or without preamble, of any name.

    Raises:
        RadiographError: if the file is damaged, in color, has several frames, no pixels, or is
            compressed in a way that is not installed.
    """
    dataset, plain = _parse(Path(path))
    _check_picture(dataset, has_pixels=plain is not None or bool(dataset.get("PixelData")))
    words, bits = _decode(dataset) if plain is None else (plain, _bits_stored(dataset))
    allocated = words.dtype.itemsize * 8
    signed = bool(dataset.get("PixelRepresentation", 0))
    tags = safe_tags({keyword: text(dataset, keyword) for keyword in DICOM_TAGS})
    tags["BitsStored"] = float(bits)
    if allocated > 16:
        bits, shift, stored_range = 0, 0, (float(words.min()), float(words.max()))
    else:
        shift = _shift(dataset, bits, allocated)
        half = 2 ** (bits - 1)
        stored_range = (-half, half - 1) if signed else (0, 2 * half - 1)
    return StoredPicture(
        words=words,
        bits=bits,
        shift=shift,
        signed=signed,
        rules=gray_rules(dataset, stored_range),
        spacing=_spacing(dataset),
        tags=tags,
    )


def _parse(path: Path) -> tuple[Dataset, Words | None]:
    """Return the elements that are needed, and the words if they are stored plainly.

    It goes by a memory map, which has no name: pydicom names files in its warnings.
    """
    try:
        with (
            path.open("rb", buffering=0) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            source: Any = data
            dataset = dcmread(source, force=True, specific_tags=ELEMENTS, stop_before_pixels=True)
            begin = _plain_pixels_begin(data, dataset)
            if begin:
                file.seek(begin)
                return dataset, _read_words(file, dataset)
            data.seek(0)
            return dcmread(source, force=True, specific_tags=ELEMENTS), None
    except Exception:  # a parser fed with any bytes raises anything
        raise RadiographError(f"{COMPLAINT} is damaged: its header can not be parsed.") from None


def _plain_pixels_begin(data: mmap.mmap, dataset: Dataset) -> int:
    """Return where one gray frame of whole little-endian words begins; 0 when there is none."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    gray = text(dataset, "PhotometricInterpretation") in DICOM_TAGS["PhotometricInterpretation"]
    alone = (numbers(dataset, "NumberOfFrames") or [1.0])[0] <= 1
    one_sample = numbers(dataset, "SamplesPerPixel") == [1.0]
    if syntax not in PLAIN_HEADERS or not (gray and alone and one_sample):
        return 0
    begin = data.tell() + PLAIN_HEADERS[syntax]
    length = int.from_bytes(data[begin - 4 : begin], "little")
    allocated = int((numbers(dataset, "BitsAllocated") or [0.0])[0])
    height, width = _shape(dataset)
    size = height * width * allocated // 8
    whole = length != 0xFFFFFFFF and size <= min(length, len(data) - begin)
    fits = allocated in (8, 16) and 1 <= _bits_stored(dataset) <= allocated
    return (
        begin
        if size and whole and fits and data[data.tell() : data.tell() + 4] == PIXEL_DATA
        else 0
    )


def _read_words(file: io.FileIO, dataset: Dataset) -> Words | None:
    """Read the words where they shall stay, which spares a copy."""
    size = int(dataset.BitsAllocated) // 8
    words = np.empty(_shape(dataset), dtype=f"<u{size}")
    if file.readinto(words.data) != words.nbytes:
        raise EOFError
    return words.astype(f"u{size}", copy=False)


def _shape(dataset: Dataset) -> tuple[int, int]:
    """Return ``(H, W)``; 0 stands for a size that is not told."""
    height, width = (numbers(dataset, keyword) or [0.0] for keyword in ("Rows", "Columns"))
    return int(height[0]), int(width[0])


def _bits_stored(dataset: Dataset) -> int:
    return int((numbers(dataset, "BitsStored") or [0.0])[0])


def _check_picture(dataset: Dataset, *, has_pixels: bool) -> None:
    """Refuse what is not one gray frame, saying what it is."""
    if not all(_shape(dataset)):
        raise RadiographError(f"{COMPLAINT} holds no picture. Leave it out of the datalist.")
    if not has_pixels:
        raise RadiographError(
            f"{COMPLAINT} has no pixel data, or ends before them. Fetch it again, or leave it out."
        )
    interpretation = text(dataset, "PhotometricInterpretation")
    samples = numbers(dataset, "SamplesPerPixel") or [1.0]
    if samples[0] != 1 or interpretation not in DICOM_TAGS["PhotometricInterpretation"]:
        raise RadiographError(
            f"{COMPLAINT} must hold gray values (MONOCHROME1 or MONOCHROME2), got a color picture "
            "or none of the two. Export the radiograph itself, not a screenshot."
        )
    frames = numbers(dataset, "NumberOfFrames") or [1.0]
    if frames[0] > 1:
        raise RadiographError(
            f"{COMPLAINT} must hold one frame, got {frames[0]:.0f}. Store each frame as a file of "
            "its own."
        )


def _decode(dataset: Dataset) -> tuple[Words, int]:
    """Return contiguous ``(H, W)`` words in this machine's byte order, and their bits."""
    syntax = _transfer_syntax(dataset)
    if syntax == RLELossless:
        plain = decode_rle(dataset.PixelData, _shape(dataset), int(dataset.get("BitsAllocated", 0)))
        if plain is not None and 1 <= _bits_stored(dataset) <= 8 * plain.dtype.itemsize:
            return plain, _bits_stored(dataset)
    array, bits = _decode_by_pydicom(dataset, syntax)
    words = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if words.dtype.itemsize <= 2:
        words = words.view(f"u{words.dtype.itemsize}")
        if _is_codestream(syntax) and not dataset.get("PixelRepresentation", 0):
            bits = max(bits, int(words.max()).bit_length())  # the codestream knows better
    return words, bits


def _decode_by_pydicom(dataset: Dataset, syntax: UID) -> tuple[Words, int]:
    decoder = _decoder(syntax)
    options: Any = {"view_only": True, "correct_unused_bits": False}  # both cost a pass; see lookup
    try:
        array, found = decoder.as_array(dataset, raw=True, **options)
    except Exception:  # codecs raise anything
        if syntax.is_encapsulated and not _has_all_codecs(decoder):
            raise RadiographError(_missing_codec(syntax)) from None
        kind = f"compressed pixel data ({syntax.name})" if syntax.is_encapsulated else "pixel data"
        raise RadiographError(
            f"{COMPLAINT} is damaged: its {kind} can not be decoded. Fetch it again, or leave it "
            "out."
        ) from None
    return array, int(found["bits_stored"])


def _transfer_syntax(dataset: Dataset) -> UID:
    """Return the transfer syntax; a file without meta information is taken as it was parsed."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        implicit, little_endian = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
        syntax = ImplicitVRLittleEndian if implicit else explicit
        dataset.file_meta.TransferSyntaxUID = syntax
    return UID(syntax)


def _decoder(syntax: UID) -> Decoder:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        name = "a private compression" if syntax.is_private else syntax.name
        raise RadiographError(
            f"{COMPLAINT} is stored as {name}, which is not a still picture that can be read. "
            "Store it uncompressed or as JPEG Lossless."
        ) from None
    if not decoder.is_available:
        raise RadiographError(_missing_codec(syntax))
    return decoder


def _has_all_codecs(decoder: Decoder) -> bool:
    return "pylibjpeg" in decoder.available_plugins or RLELossless == decoder.UID


def _missing_codec(syntax: UID) -> str:
    return (
        f"{COMPLAINT} is compressed as {syntax.name}, for which no codec is installed: run "
        f"`{INSTALL}`."
    )


def _is_codestream(syntax: UID) -> bool:
    """Whether the pixels come from a JPEG file, which holds values and no unused bits."""
    return bool(syntax.is_encapsulated and syntax != RLELossless)


def _shift(dataset: Dataset, bits: int, allocated: int) -> int:
    """Return where the value begins in a word; beside it lie overlays or nothing."""
    high = numbers(dataset, "HighBit")
    if not high or _is_codestream(_transfer_syntax(dataset)):
        return 0
    return min(max(int(high[0]) - bits + 1, 0), allocated - bits)


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Return ``(row, column)`` spacing in mm: calibrated if known, else on the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(dataset, keyword)
        if len(spacing) == 2 and all(math.isfinite(mm) and mm > 0 for mm in spacing):
            return spacing[0], spacing[1]
    return None
