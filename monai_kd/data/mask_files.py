# SPDX-License-Identifier: Apache-2.0
"""Masks kept in picture files: PNG or NIfTI, nonzero is inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_kd.utils import MonaiKDError

__all__ = ["read_mask_file"]


def read_mask_file(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask, rows first, as it is drawn over the stored image.

    Args:
        path: PNG (or another still picture), or NIfTI with a single slice whose first axis is x
            and whose second is y, as it is stored.

    Returns:
        ``(H, W)``, true where the file is not zero. A palette or colour picture is inside where
        any of its colours is not black; transparency is ignored.

    Raises:
        MonaiKDError: if there is no such file, or it is not a mask.
    """
    is_nifti = path.name.lower().endswith((".nii", ".nii.gz"))
    try:
        pixels = _nifti_pixels(path) if is_nifti else _picture_pixels(path)
    except FileNotFoundError:
        raise MonaiKDError(
            "read_mask_file: the mask file must exist, got none. Mask paths are relative to the "
            "datalist's folder."
        ) from None
    except Exception:  # decoders raise many kinds, and their text holds the file name
        raise MonaiKDError(
            "read_mask_file: the mask must be a readable PNG or NIfTI file, got something else."
        ) from None
    if pixels.ndim != 2:
        raise MonaiKDError(
            f"read_mask_file: the mask must be a single slice, got {pixels.ndim} axes. Save the "
            "slice that belongs to the image."
        )
    inside: npt.NDArray[np.bool_] = np.nan_to_num(pixels) != 0
    return inside


def _picture_pixels(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    with Image.open(path) as picture:
        colors = picture.convert("RGB") if picture.mode in ("P", "PA", "RGBA", "LA") else picture
        pixels = np.asarray(colors)
    return pixels.max(axis=-1) if pixels.ndim == 3 else pixels


def _nifti_pixels(path: Path) -> npt.NDArray[Any]:
    import nibabel

    image: Any = nibabel.load(path)
    array = np.asarray(image.dataobj)
    single_slice = array.ndim >= 2 and all(length == 1 for length in array.shape[2:])
    return array.reshape(array.shape[:2]).T if single_slice else array
