# SPDX-License-Identifier: Apache-2.0
"""Make every image the same square without bending it, and find the way back for predictions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import ensure_tuple
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from monai_kd.transforms.intensity import plain

__all__ = ["SquarePadGeometry", "SquarePadResized", "square_pad_geometry"]


class SquarePadResized(MapTransform):
    """Pad to a square with black, centered, then resize.

    Images are shrunk with antialiasing. A pixel of a shrunk mask is marked when any pixel it covers
    was, so that no mark vanishes and a box drawn round something still holds it.

    Args:
        keys: images, ``(C, H, W)``, float, in [0, 1].
        spatial_size: height and width of the result, in pixels.
        mask_keys: masks, ``(C, H, W)``, 0 or 1; those that an item lacks are passed over.
        size_key: gets the size of the first image as it was, rows and columns, float32, ``(2,)``,
            from which :func:`square_pad_geometry` finds the way back. Empty keeps none.

    Raises:
        ValueError: if ``spatial_size`` is below 1.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        spatial_size: int,
        mask_keys: KeysCollection = (),
        size_key: str = "",
    ) -> None:
        super().__init__(keys)
        if spatial_size < 1:
            raise ValueError(
                f"SquarePadResized: `spatial_size` must be at least 1 pixel, got {spatial_size}. "
                "Give the side of the square in pixels, e.g. 224."
            )
        self.spatial_size = spatial_size
        self.mask_keys = ensure_tuple(mask_keys)
        self.size_key = size_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with square images and masks, plain tensors.

        Args:
            data: item that holds the images and masks.
        """
        out = dict(data)
        if self.size_key:
            out[self.size_key] = torch.tensor(out[self.keys[0]].shape[-2:], dtype=torch.float32)
        for key in self.key_iterator(out):
            out[key] = _resize_image(_pad_to_square(plain(out[key])), self.spatial_size)
        for key in self.mask_keys:
            if key in out:
                out[key] = _resize_mask(_pad_to_square(plain(out[key])), self.spatial_size)
        return out


@dataclass(frozen=True)
class SquarePadGeometry:
    """Where a pixel of the stored image went: ``resized = (stored + offset) * scale``.

    Points are x, y in pixels, measured from the corner of the image, so that the first pixel
    reaches from 0 to 1.

    Args:
        scale: pixels of the resized image per pixel of the stored image.
        offset: black columns to the left and black rows on top, before resizing.
    """

    scale: float
    offset: tuple[int, int]

    def to_resized(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return points or boxes of the stored image in pixels of the resized one.

        Args:
            points: ``(..., 2)`` as x, y or ``(..., 4)`` as x_min, y_min, x_max, y_max.
        """
        array = np.asarray(points, dtype=np.float64)
        resized: NDArray[np.float64] = (
            array + np.resize(self.offset, array.shape[-1])
        ) * self.scale
        return resized

    def to_stored(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return points or boxes of the resized image in pixels of the stored one.

        Args:
            points: as for :meth:`to_resized`. What lies on the black border comes out beyond the
                stored image.
        """
        array = np.asarray(points, dtype=np.float64)
        stored: NDArray[np.float64] = array / self.scale - np.resize(self.offset, array.shape[-1])
        return stored


def square_pad_geometry(height: int, width: int, *, spatial_size: int) -> SquarePadGeometry:
    """Return what :class:`SquarePadResized` does to the points of an image of this size.

    Args:
        height: rows of the stored image.
        width: columns of the stored image.
        spatial_size: as given to :class:`SquarePadResized`.

    Example:
        >>> geometry = square_pad_geometry(100, 200, spatial_size=50)
        >>> geometry.to_resized([0, 0, 200, 100])
        array([ 0. , 12.5, 50. , 37.5])
        >>> geometry.to_stored([25, 25])
        array([100.,  50.])
    """
    side = max(height, width)
    return SquarePadGeometry(spatial_size / side, ((side - width) // 2, (side - height) // 2))


def _pad_to_square(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return F.pad(image, (left, side - width - left, top, side - height - top))


def _resize_image(image: Tensor, size: int) -> Tensor:
    resized = F.interpolate(
        image[None].float(), (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0].clamp_(0, 1)


def _resize_mask(mask: Tensor, size: int) -> Tensor:
    if mask.shape[-1] > size:
        return F.adaptive_max_pool2d(mask[None].float(), size)[0].to(mask.dtype)
    return F.interpolate(mask[None].float(), (size, size), mode="nearest-exact")[0].to(mask.dtype)
