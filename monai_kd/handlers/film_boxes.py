# SPDX-License-Identifier: Apache-2.0
"""Boxes in pixels of the network's square image, brought onto the stored film.

What is shown and what is scored must be the same candidates, so both ask here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.transforms import square_pad_geometry

__all__ = ["boxes_on_film"]

_LEAST = 1e-3  # pixels of the stored film that a box must reach into it; less is rounding


def boxes_on_film(
    box: ArrayLike, size: tuple[float, float], *, spatial_size: int
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return boxes in pixels of the stored film, and which of them reach into it.

    Args:
        box: ``x_min, y_min, x_max, y_max`` in pixels of the square image, maxima exclusive,
            ``(N, 4)``.
        size: rows and columns of the stored film.
        spatial_size: side of the square image, see :class:`monai_kd.transforms.SquarePadResized`.

    Returns:
        The boxes cut at the edges of the film, ``(N, 4)``; and False for each that lies wholly on
        the black border, ``(N,)``.
    """
    rows, columns = round(size[0]), round(size[1])
    geometry = square_pad_geometry(rows, columns, spatial_size=spatial_size)
    square = np.asarray(box, np.float64).reshape(-1, 4)
    stored = np.clip(geometry.to_stored(square), 0, [columns, rows, columns, rows])
    return stored, np.asarray((stored[:, 2:] - stored[:, :2] >= _LEAST).all(axis=1))
