# SPDX-License-Identifier: Apache-2.0
"""Autocontrast and histogram equalization as curves of 256 gray levels, equal to Pillow's.

Both are one look-up table: how often each level occurs in the warped view decides it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["gray_curve", "gray_curves"]

_LEVELS = np.arange(256)


def gray_curve(
    counts: NDArray[Any], *, autocontrast: bool, equalize: bool
) -> NDArray[np.uint8] | None:
    """Return the level that each gray level becomes, ``(256,)``; None when none changes.

    Autocontrast stretches the darkest level to 0 and the brightest to 255. Equalization, second,
    gives each level the share of darker pixels. A view of one level stays as it is.

    Args:
        counts: number of pixels of each level, int, ``(256,)``.
        autocontrast: whether to stretch.
        equalize: whether to equalize.
    """
    present = counts.nonzero()[0]
    if len(present) <= 1:
        return None
    low, high = int(present[0]), int(present[-1])
    curve = None
    if autocontrast and high - low < 255:
        scale = 255.0 / (high - low)
        # in this order and in double precision: rounds as Pillow does
        curve = (_LEVELS * scale - low * scale).clip(0, 255).astype(np.intp)
        stretched = np.zeros_like(counts)
        stretched[curve[present]] = counts[present]
        counts, high = stretched, 255
    if equalize:
        darker = counts.cumsum()
        step = int(darker[-1] - counts[high]) // 255
        if step > 0:
            equal = ((darker - counts + step // 2) // step).clip(max=255)
            curve = equal if curve is None else equal[curve]
    return None if curve is None else curve.astype(np.uint8)


def gray_curves(counts: Tensor, *, autocontrast: Tensor, equalize: Tensor) -> Tensor:
    """Return what :func:`gray_curve` does, for N views at once, on any device.

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
    scale = 255 / (high - low).clamp(min=1).to(real)
    stretch = (levels * scale - low * scale).clamp(0, 255).long()
    curve = torch.where(autocontrast[:, None] & (high > low), stretch, levels)
    counts = torch.zeros_like(counts).scatter_add_(1, curve, counts * present)
    darker = counts.cumsum(1)
    last = counts.gather(1, curve.gather(1, high))
    step = (darker[:, -1:] - last) // 255
    equal = ((darker - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(equalize[:, None] & (step > 0), equal.gather(1, curve), curve)
