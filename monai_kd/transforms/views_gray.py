# SPDX-License-Identifier: Apache-2.0
"""Autocontrast and histogram equalization as curves of 256 gray levels, equal to Pillow's.

Both are one look-up table: how often each level occurs in the warped view decides it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["equalizing_curve", "gray_curves", "stretching_curve"]

_LEVELS = np.arange(256)


@lru_cache(maxsize=4096)
def stretching_curve(low: int, high: int) -> NDArray[np.uint8]:
    """Return the level that each gray level becomes by autocontrast, ``(256,)``.

    Args:
        low: darkest level of the view, becomes 0.
        high: brightest level, becomes 255, or 254 where Pillow rounds so. When both are the
            same, no level changes.
    """
    if low == high:
        return _LEVELS.astype(np.uint8)
    scale = 255.0 / (high - low)
    # in this order and in double precision: rounds as Pillow does
    return (_LEVELS * scale - low * scale).clip(0, 255).astype(np.uint8)


def equalizing_curve(counts: NDArray[np.int64], *, autocontrast: bool) -> NDArray[np.uint8]:
    """Return the level that each gray level becomes by equalization, ``(256,)``.

    That is the share of darker pixels. A view of one level stays as it is.

    Args:
        counts: number of pixels of each level, ``(256,)``.
        autocontrast: whether the view is stretched before.
    """
    present = counts.nonzero()[0]
    low, high = int(present[0]), int(present[-1])
    stretch = stretching_curve(low, high) if autocontrast else None
    if stretch is not None and high > low:
        stretched = np.zeros(256, dtype=np.int64)
        stretched[stretch[present]] = counts[present]
        counts, high = stretched, int(stretch[high])  # rounding may leave 254
    darker = counts.cumsum()
    step = int(darker[-1] - counts[high]) // 255
    if step == 0:
        return stretching_curve(0, 255) if stretch is None else stretch
    darker -= counts
    darker += step // 2
    darker //= step
    equal: NDArray[np.uint8] = np.minimum(darker, 255).astype(np.uint8)
    return equal if stretch is None else equal[stretch]


def gray_curves(counts: Tensor, *, autocontrast: Tensor, equalize: Tensor) -> Tensor:
    """Return the curves of N views at once, on any device: autocontrast, then equalization.

    Args:
        counts: int64, ``(N, 256)``.
        autocontrast: bool, ``(N,)``.
        equalize: bool, ``(N,)``.

    Returns:
        int64, ``(N, 256)``; a view that stays as it is has the curve 0, 1, ..., 255.
    """
    levels = torch.arange(256, device=counts.device).expand_as(counts)
    present = counts > 0
    low = present.int().argmax(1, keepdim=True)
    high = 255 - present.flip(1).int().argmax(1, keepdim=True)
    # an accelerator without double precision may be off by one level here
    real = torch.float32 if counts.device.type == "mps" else torch.float64
    extent = (high - low).clamp(min=1).to(real)
    scale = torch.full_like(extent, 255) / extent  # 255 / extent would round twice
    stretch = (levels * scale - low * scale).clamp(0, 255).long()
    curve = torch.where(autocontrast[:, None] & (high > low), stretch, levels)
    counts = torch.zeros_like(counts).scatter_add_(1, curve, counts * present)
    darker = counts.cumsum(1)
    last = counts.gather(1, curve.gather(1, high))
    step = (darker[:, -1:] - last) // 255
    equal = ((darker - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(equalize[:, None] & (step > 0), equal.gather(1, curve), curve)
