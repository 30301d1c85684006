# SPDX-License-Identifier: Apache-2.0
"""The positions of a vision transformer, on a grid of another size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["fit_grid", "resize_grid"]


def resize_grid(positions: Tensor, side: int, rows: int, columns: int) -> Tensor:
    """Return positions for another grid, bicubic without anti-aliasing.

    The corners of both grids lie on each other. DINO's own code gives the scale as a factor, with
    a tenth of a patch added, which moves the places a little: its networks answer a little
    differently at sizes that they were not trained at.

    Two products with small matrices: the same numbers as ``F.interpolate``, and a gradient that
    is the same each time also on CUDA.

    Args:
        positions: of the class token, then row by row of the patches, ``(1, 1 + side**2, D)``.
        side: rows and columns that ``positions`` has.
        rows: rows wanted.
        columns: columns wanted.

    Returns:
        ``(1, 1 + rows * columns, D)``; the class token's stays.
    """
    if rows == side and columns == side:
        return positions
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return _resized(positions, side, rows, columns)
    with torch.autocast(positions.device.type, enabled=False):
        return _resized(positions, side, rows, columns)


def _resized(positions: Tensor, side: int, rows: int, columns: int) -> Tensor:
    down = _weights(positions, side, rows)
    across = _weights(positions, side, columns)
    grid = (down @ positions[0, 1:].reshape(side, -1)).reshape(rows, side, -1)
    return torch.cat((positions[:, :1], (across @ grid).reshape(1, rows * columns, -1)), dim=1)


def _weights(like: Tensor, old: int, new: int) -> Tensor:
    """Return the matrix of a bicubic change of length, ``(new, old)``."""
    one = torch.eye(old, device=like.device, dtype=like.dtype)
    return F.interpolate(one[None, None], size=[new, old], mode="bicubic", align_corners=False)[
        0, 0
    ]


def fit_grid(positions: Tensor, side: int) -> Tensor:
    """Return the positions of a weights file on a grid of ``side`` x ``side``.

    Args:
        positions: ``(1, 1 + n * n, D)``; anything else is given back as it is.
        side: rows and columns wanted.
    """
    if positions.ndim != 3 or positions.shape[0] != 1:
        return positions
    before = round((positions.shape[1] - 1) ** 0.5) if positions.shape[1] > 1 else 0
    if before < 1 or 1 + before * before != positions.shape[1]:
        return positions
    return resize_grid(positions.float(), before, side, side)
