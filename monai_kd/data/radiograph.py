# SPDX-License-Identifier: Apache-2.0
"""One way to read a radiograph, whatever the file: air dark, bone bright, rows as drawn."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_kd.data.lookup import RADIOGRAPH_POLICIES, RadiographError, StoredPicture, Words, render
from monai_kd.utils import check_choice

__all__ = [
    "RADIOGRAPH_POLICIES",
    "Radiograph",
    "RadiographError",
    "read_radiograph",
    "stored_pixels_sha256",
]

HEAD_BYTES = 352  # the longest head that tells a format: NIfTI's
FIRST_GROUPS = (0x02, 0x08, 0x10, 0x18, 0x20, 0x28)  # a DICOM file without preamble begins so


@dataclass(frozen=True)
class Radiograph:
    """A radiograph as a network sees it.

    Args:
        pixels: ``(H, W)`` float32 in [0, 1], air dark, bone bright, rows as drawn.
        spacing: ``(row, column)`` distance of pixel centers in mm, None when unknown.
        tags: ``Modality``, ``ViewPosition``, ``BodyPartExamined``, ``PhotometricInterpretation``,
            ``PresentationIntentType``, ``BitsStored``, ``format``, ``voi`` (what made the gray:
            ``lut``, ``window``, ``percentile`` or ``none``) and ``voi_ignored`` (what was in the
            file but shows nothing). All are always there, unknown ones as ``""`` or NaN.
    """

    pixels: NDArray[np.float32]
    spacing: tuple[float, float] | None
    tags: dict[str, str | float]


def read_radiograph(path: str | os.PathLike[str], *, policy: str = "auto") -> Radiograph:
    """Read a DICOM, PNG, JPEG or NIfTI radiograph; the format is told by content, not by name.

    Args:
        path: file.
        policy: how values become gray. ``auto``: the file's VOI table, else its first window, else
            the full range up to 8 bits and ``percentile`` above; a table or window that shows
            nothing of the picture is left aside. ``lut``, ``window``: that one, or an error.
            ``percentile``: black at the 0.5th, white at the 99.5th (of an even grid of pixels in
            pictures over 256 x 256). ``none``: the full range that can be stored.

    Raises:
        RadiographError: if the file is not a readable radiograph; the message says why.
        ValueError: if ``policy`` is unknown.
    """
    check_choice("read_radiograph", "policy", policy, RADIOGRAPH_POLICIES)
    stored = _read_stored(Path(path))
    rendering = render(stored, policy)
    tags = stored.tags | {"voi": rendering.voi, "voi_ignored": rendering.ignored}
    return Radiograph(rendering.pixels, stored.spacing, tags)


def stored_pixels_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of size and stored values, the same for the same picture in any file.

    Compression, bits allocated, byte order, header and name do not matter, so a DICOM file and
    the PNG made of its stored values agree. Gray rules are not applied: a picture stored inverted
    is another picture.

    Args:
        path: file.

    Raises:
        RadiographError: if the file is not a readable radiograph; the message says why.
    """
    stored = _read_stored(Path(path))
    values = stored.values_of(stored.words)
    whole = values.astype("<i4", copy=False) if stored.bits else _as_integers(values)
    height, width = whole.shape
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(whole).data)
    return digest.hexdigest()


def _as_integers(values: Words) -> Words:
    """Return floats that are whole numbers as integers, others as little-endian doubles."""
    plain = values.astype("<f8")
    whole = np.isfinite(plain).all() and (plain == np.rint(plain)).all()
    return plain.astype("<i4") if whole and np.abs(plain).max() < 2**31 else plain


def _read_stored(path: Path) -> StoredPicture:
    """Tell the format by the first bytes; each reader's library is imported when first needed."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else "can not be opened"
        raise RadiographError(
            f"read_radiograph: the file {reason}. Check the datalist and the folder it is in."
        ) from None
    from monai_kd.data.picture import read_nifti, read_picture

    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return read_picture(path)
    if head.startswith(b"\x1f\x8b") or head[344:348] in (b"n+1\0", b"ni1\0") or _is_nifti2(head):
        return read_nifti(path)
    if head[128:132] == b"DICM" or int.from_bytes(head[:2], "little") in FIRST_GROUPS:
        from monai_kd.data.dicom import read_dicom

        return read_dicom(path)
    raise RadiographError(
        "read_radiograph: the file is not an image: it is neither DICOM, PNG, JPEG nor NIfTI. "
        "Leave it out of the datalist."
    )


def _is_nifti2(head: bytes) -> bool:
    return head[4:8] in (b"n+2\0", b"ni2\0")
