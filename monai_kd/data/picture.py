# SPDX-License-Identifier: Apache-2.0
"""Read radiographs that are not DICOM: PNG and JPEG (8 and 16 bit), NIfTI of a single slice."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.data.dicom_tags import empty_tags
from monai_kd.data.gray import GrayRules
from monai_kd.data.lookup import RadiographError, StoredPicture, Words

__all__ = ["read_nifti", "read_picture"]

MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}


def read_picture(path: str | os.PathLike[str]) -> StoredPicture:
    """Read a PNG or JPEG file, rows as stored.

    An EXIF orientation is not applied: boxes count the pixels of the stored image. Gray stored in
    three equal channels is gray; an alpha channel is left aside.

    Args:
        path: file.

    Raises:
        RadiographError: if the file is damaged, in color or animated.
    """
    from PIL import Image

    try:
        with Path(path).open("rb") as file, Image.open(file, formats=("PNG", "JPEG")) as image:
            image_format, frames = str(image.format), getattr(image, "n_frames", 1)
            deep = image.mode.startswith("I")
            alone = image if deep or image.mode == "L" else image.convert("RGB")
            pixels = np.asarray(alone)
    except Exception:  # decoders raise anything, and some name the file
        raise RadiographError(
            "read_radiograph: the PNG or JPEG file is damaged or incomplete. Fetch it again, or "
            "leave it out."
        ) from None
    if frames > 1:
        raise RadiographError(
            f"read_radiograph: the {image_format} file must hold one picture, got {frames}. Store "
            "each as a file of its own."
        )
    return _plain(_gray_channel(pixels), image_format)


def _gray_channel(pixels: Words) -> Words:
    if pixels.ndim == 2:
        return pixels
    if not (pixels == pixels[..., :1]).all():
        raise RadiographError(
            "read_radiograph: the picture must be gray, got a color picture. Export the radiograph "
            "itself, not a photograph or a screenshot."
        )
    return pixels[..., 0]


def _plain(pixels: Words, image_format: str) -> StoredPicture:
    words = np.ascontiguousarray(pixels)
    if words.dtype.kind != "u" and words.min() >= 0 and words.max() < 2**16:
        words = words.astype(np.uint16)  # 16 bit PNG, opened wider by some versions of Pillow
    bits = 8 * words.dtype.itemsize
    tags = empty_tags(image_format) | {"BitsStored": float(bits)}
    return StoredPicture(words=words, bits=bits if bits <= 16 else 0, tags=tags)


def read_nifti(path: str | os.PathLike[str]) -> StoredPicture:
    """Read a NIfTI file that holds one slice.

    The first array axis is taken as x (columns, to the right) and the second as y (rows,
    downward), which is how ITK, SimpleITK and MONAI write a flat picture: the array is transposed,
    never flipped, whatever the affine says, because boxes count stored pixels.

    Args:
        path: ``.nii`` or ``.nii.gz`` file, of any name.

    Raises:
        RadiographError: if the file is damaged, in color or holds several slices.
    """
    import nibabel

    try:
        data = Path(path).read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        kind = nibabel.Nifti2Image if data[4:8] == b"n+2\0" else nibabel.Nifti1Image
        image = kind.from_bytes(data)
        proxy: Any = image.dataobj
        stored = np.asarray(proxy.get_unscaled())
        slope, intercept = proxy.slope, proxy.inter
        header = image.header
    except Exception:  # a parser fed with any bytes raises anything
        raise RadiographError(
            "read_radiograph: the NIfTI file is damaged or incomplete (header and pixels must be "
            "in one .nii or .nii.gz file). Fetch it again, or leave it out."
        ) from None
    if stored.dtype.kind not in "iuf":
        raise RadiographError("read_radiograph: the NIfTI file must be gray, got color or complex.")
    if stored.ndim < 2 or any(size != 1 for size in stored.shape[2:]):
        raise RadiographError(
            f"read_radiograph: the NIfTI file must hold one slice, got shape {stored.shape}. Store "
            "each slice as a file of its own."
        )
    rules = GrayRules(slope=float(slope) or 1.0, intercept=float(intercept))
    return _nifti_picture(stored.reshape(stored.shape[:2]).T, rules, _nifti_spacing(header))


def _nifti_picture(
    pixels: Words, rules: GrayRules, spacing: tuple[float, float] | None
) -> StoredPicture:
    words = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    bits = 8 * words.dtype.itemsize
    tags = empty_tags("NIfTI") | {"BitsStored": float(bits)}
    if words.dtype.kind == "f" or bits > 16:
        return StoredPicture(words=words, rules=rules, spacing=spacing, tags=tags)
    return StoredPicture(
        words=words.view(f"u{words.dtype.itemsize}"),
        bits=bits,
        signed=words.dtype.kind == "i",
        rules=rules,
        spacing=spacing,
        tags=tags,
    )


def _nifti_spacing(header: Any) -> tuple[float, float] | None:
    """Return ``(row, column)`` spacing in mm, None when the header gives no unit of length."""
    unit = MM.get(header.get_xyzt_units()[0])
    column, row = (float(zoom) for zoom in header.get_zooms()[:2])
    return (row * unit, column * unit) if unit and row > 0 and column > 0 else None
