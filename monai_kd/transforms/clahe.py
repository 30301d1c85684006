# SPDX-License-Identifier: Apache-2.0
"""Contrast-limited adaptive histogram equalization (CLAHE), with a drawn clip limit.

Source: Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994.
Counting, clipping and spreading follow OpenCV's ``createCLAHE``, which the published method used
through albumentations; only its rounding of the result to 8 bits is left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from torch import Tensor

from monai_kd.transforms.intensity import RandIntensityd

__all__ = ["RandCLAHEd", "equalize_adaptively"]

_BINS = 256


class RandCLAHEd(RandIntensityd):
    """Equalize the histogram of each tile of the image, no slope above a drawn limit.

    Each image of the item has its own histograms; the clip limit is drawn once for all.

    Args:
        keys: see :class:`~monai_kd.transforms.RandIntensityd`.
        clip_limit: range of the limit, see :func:`equalize_adaptively`.
        tiles: tiles along each axis.
        prob: see :class:`~monai_kd.transforms.RandIntensityd`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        clip_limit: tuple[float, float] = (1.0, 4.0),
        tiles: int = 8,
        prob: float = 1.0,
    ) -> None:
        super().__init__(keys, prob=prob)
        self.clip_limit = clip_limit
        self.tiles = tiles

    def draw(self) -> None:
        """Draw the clip limit."""
        self._clip_limit = self.R.uniform(*self.clip_limit)

    def change(self, image: Tensor) -> Tensor:
        """Return the equalized image.

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        return equalize_adaptively(image, clip_limit=self._clip_limit, tiles=self.tiles)


def equalize_adaptively(image: Tensor, *, clip_limit: float, tiles: int = 8) -> Tensor:
    """Map each pixel by the clipped cumulative histograms of the four nearest tiles.

    Args:
        image: ``(C, H, W)``, float, in [0, 1]; read in 256 gray levels.
        clip_limit: largest count of a bin, in multiples of the count of a flat histogram, at
            least one pixel; what is cut off is spread over the bins. A large limit clips nothing.
        tiles: tiles along each axis, fewer on an image with fewer pixels; 1 is the classic,
            global equalization.

    Returns:
        Image of the same shape, float32, in [0, 1].
    """
    height, width = image.shape[-2:]
    rows, columns = min(tiles, height), min(tiles, width)
    levels = (image * (_BINS - 1)).round().long()
    padded = F.pad(levels[None].float(), (0, -width % columns, 0, -height % rows), mode="reflect")
    return torch.stack(
        [
            _look_up(channel, _tile_curves(extended.long(), rows, columns, clip_limit), extended)
            for channel, extended in zip(levels, padded[0], strict=True)
        ]
    )


def _tile_curves(levels: Tensor, rows: int, columns: int, clip_limit: float) -> Tensor:
    """Return each tile's clipped cumulative histogram, ``(rows, columns, 256)``, in [0, 1]."""
    height, width = levels.shape[0] // rows, levels.shape[1] // columns
    tile = (torch.arange(levels.shape[0]) // height * columns)[:, None] + (
        torch.arange(levels.shape[1]) // width
    )
    counts = torch.bincount(
        (tile * _BINS + levels).flatten(), minlength=rows * columns * _BINS
    ).view(rows, columns, _BINS)
    clipped = counts.clamp(max=max(int(clip_limit * height * width / _BINS), 1))
    excess = height * width - clipped.sum(-1, keepdim=True)
    rest = excess % _BINS  # OpenCV gives it to every n-th bin, from black upwards
    step = (_BINS // rest.clamp(min=1)).clamp(min=1)
    bins = torch.arange(_BINS)
    clipped += excess // _BINS + ((bins % step == 0) & (bins // step < rest))
    return clipped.cumsum(-1) / (height * width)


def _look_up(levels: Tensor, curves: Tensor, extended: Tensor) -> Tensor:
    """Blend the curves of the four nearest tiles at each pixel, ``(H, W)``."""
    rows, columns, _ = curves.shape
    top, bottom, low = _neighbors(levels.shape[0], extended.shape[0] // rows, rows)
    left, right, near = _neighbors(levels.shape[1], extended.shape[1] // columns, columns)
    flat = curves.flatten()

    def value(row: Tensor, column: Tensor) -> Tensor:
        return flat[(row[:, None] * columns + column) * _BINS + levels]

    upper = torch.lerp(value(top, left), value(top, right), near)
    lower = torch.lerp(value(bottom, left), value(bottom, right), near)
    return torch.lerp(upper, lower, low[:, None])


def _neighbors(length: int, tile: int, tiles: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return, per pixel of one axis, the two nearest tiles and the weight of the second."""
    position = torch.arange(length) / tile - 0.5
    first = position.floor()
    second = (first + 1).clamp(max=tiles - 1).long()
    return first.clamp(min=0).long(), second, position - first
