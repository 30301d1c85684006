# SPDX-License-Identifier: Apache-2.0
"""A heat map laid over the radiograph, with the region that an expert drew as an outline."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["HEAT_COLORS", "heat_colors", "overlay"]

HEAT_COLORS = (
    (0.05, 0.03, 0.25),
    (0.45, 0.08, 0.5),
    (0.85, 0.25, 0.35),
    (0.99, 0.6, 0.2),
    (0.99, 0.95, 0.6),
)
"""Colors of the heat map from 0 to 1, RGB, evenly spaced; lightness rises throughout."""

_OUTLINE = np.array((64, 224, 208), np.uint8)
_OPACITY = 0.62


def heat_colors(heat: ArrayLike) -> NDArray[np.float64]:
    """Return the color of each value.

    Args:
        heat: values in [0, 1], any shape.

    Returns:
        RGB in [0, 1], shape of ``heat`` and a last axis of 3.
    """
    values = np.clip(np.asarray(heat, np.float64), 0, 1)
    stops = np.linspace(0, 1, len(HEAT_COLORS))
    return np.stack(
        [np.interp(values, stops, channel) for channel in zip(*HEAT_COLORS, strict=True)], -1
    )


def overlay(
    image: ArrayLike, cam: ArrayLike, *, region_mask: ArrayLike | None = None
) -> NDArray[np.uint8]:
    """Return the radiograph with the heat map over it and the region outlined.

    The map is the more opaque the stronger it is, so the film stays to be seen where it is weak.
    The outline lies outside the region, turquoise with a dark rim, so that it hides no finding.

    Args:
        image: radiograph, ``(H, W)`` or ``(1, H, W)``, in [0, 1].
        cam: heat map, same shape, in [0, 1].
        region_mask: 0 or 1, same shape; None or empty draws no outline.

    Returns:
        RGB picture, ``(H, W, 3)``, uint8.

    Raises:
        ValueError: if the shapes differ.
    """
    gray, heat = _plane(image), _plane(cam)
    region = np.zeros(gray.shape, bool) if region_mask is None else _plane(region_mask) > 0
    for name, plane in (("cam", heat), ("region_mask", region)):
        if plane.shape != gray.shape:
            raise ValueError(
                f"overlay: `{name}` must have the shape of `image`, {gray.shape}, got "
                f"{plane.shape}. Bring both to one size first."
            )
    opacity = (_OPACITY * np.clip(heat, 0, 1))[..., None]
    mixed = (1 - opacity) * np.clip(gray, 0, 1)[..., None] + opacity * heat_colors(heat)
    picture = np.rint(255 * mixed).astype(np.uint8)
    line = max(1, round(min(gray.shape) / 128))
    inner = _grow(region, line)
    picture[_grow(inner, line) & ~inner] = 0
    picture[inner & ~region] = _OUTLINE
    return picture


def _grow(region: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Dilate by a square, ``pixels`` to each side."""
    for _ in range(pixels):
        padded = np.pad(region, 1)
        rows = padded[:-2] | padded[1:-1] | padded[2:]
        region = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return region


def _plane(values: ArrayLike) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values, np.float64)
    return array[0] if array.ndim == 3 and len(array) == 1 else array
