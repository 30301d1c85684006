# SPDX-License-Identifier: Apache-2.0
"""Where a point of a phantom's body lands on the film, and how points become attenuation.

Body coordinates are millimetres of a standard adult: x to the patient's left (right on the film),
y towards the feet, z from back to front; the origin is the middle of the chest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter, zoom

__all__ = ["Array", "Pose", "noise_fields", "soft_step", "splat", "wide_blur"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Pose:
    """How a patient of some build stands before one film.

    Args:
        size: rows and columns of the film.
        spacing: millimetres of film per pixel.
        stretch: width and height of the patient relative to the standard adult.
        roll: rotation in the plane of the film, in radians.
        turn: millimetres moved sideways per millimetre of depth (patient not square on).
        shift: millimetres moved to the right and down.
        inspiration: how far the diaphragm has come down, in millimetres.
        lift: how far the shoulders are raised, in millimetres.
    """

    size: int
    spacing: float
    stretch: tuple[float, float]
    roll: float
    turn: float
    shift: tuple[float, float]
    inspiration: float
    lift: float

    def grid(self) -> tuple[Array, Array]:
        """Return x and y of every pixel at half depth, float32, each ``(size, size)``."""
        steps = (np.arange(self.size, dtype=np.float32) + 0.5 - self.size / 2) * self.spacing
        u, v = steps[None, :] - self.shift[0], steps[:, None] - self.shift[1]
        cos, sin = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        return (cos * u + sin * v) / self.stretch[0], (cos * v - sin * u) / self.stretch[1]

    def to_pixels(self, x: Array, y: Array, z: Array | float = 90.0) -> tuple[Array, Array]:
        """Return columns and rows (edges of pixels are whole numbers) of points of the body.

        Args:
            x: millimetres to the patient's left.
            y: millimetres towards the feet.
            z: millimetres from the back; 90 is half depth, where :meth:`grid` lies.
        """
        x = (x + self.turn * (z - 90.0)) * self.stretch[0]
        y = y * self.stretch[1]
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        column = (cos * x - sin * y + self.shift[0]) / self.spacing + self.size / 2
        row = (sin * x + cos * y + self.shift[1]) / self.spacing + self.size / 2
        return column, row

    @property
    def pixel_area(self) -> float:
        """Square millimetres of the standard adult that one pixel sees."""
        return self.spacing**2 / (self.stretch[0] * self.stretch[1])


def splat(size: int, column: Array, row: Array, weight: Array) -> Array:
    """Spread weighted points over the four nearest pixels; the sum is kept inside the film.

    Args:
        size: rows and columns of the film.
        column: position of each point, pixels, edges at whole numbers.
        row: position of each point, pixels, edges at whole numbers.
        weight: what each point carries.

    Returns:
        ``(size, size)``, float32.
    """
    left, top = np.floor(column - 0.5), np.floor(row - 0.5)
    across, down = column - 0.5 - left, row - 0.5 - top
    inside = (left >= 0) & (left < size - 1) & (top >= 0) & (top < size - 1)
    weight = np.where(inside, weight, 0.0)
    index = np.where(inside, top * size + left, 0).astype(np.intp)
    total = np.zeros(size * size)
    for offset, share in (
        (0, (1 - across) * (1 - down)),
        (1, across * (1 - down)),
        (size, (1 - across) * down),
        (size + 1, across * down),
    ):
        total += np.bincount(index + offset, weight * share, minlength=size * size)[: size * size]
    return total.reshape(size, size).astype(np.float32)


def noise_fields(rng: np.random.Generator, size: int, bands: list[tuple[float, float]]) -> Array:
    """Return smooth random fields of mean 0 and SD 1, one per band.

    Args:
        rng: source of the draw; one white field serves all bands.
        size: rows and columns.
        bands: ``(fine, coarse)`` Gaussian widths in pixels; details between them stay. A coarse
            width of 0 keeps everything above the fine one.

    Returns:
        ``(len(bands), size, size)``, float32.
    """
    white = rfft2(rng.standard_normal((size, size), dtype=np.float32))
    squared = (
        np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None, :] ** 2
    ) * -19.739208802178716  # -2 pi^2
    fields = []
    for fine, coarse in bands:
        keep = np.exp(squared * fine**2) - (np.exp(squared * coarse**2) if coarse else 0)
        keep[0, 0] = 0
        field = irfft2(white * keep, s=(size, size))
        fields.append(field / (field.std() + 1e-9))
    return np.stack(fields).astype(np.float32)


def soft_step(distance: Array, width: float) -> Array:
    """Return 0 below ``-width``, 1 above ``width``, smooth between.

    Args:
        distance: signed distance.
        width: half the width of the edge, same unit, above 0.
    """
    t = np.clip(distance / (2 * width) + 0.5, 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


def wide_blur(image: Array, sigma: float) -> Array:
    """Return a Gaussian blur, computed on a coarse copy because it is wide.

    Args:
        image: ``(size, size)``, size a multiple of 8.
        sigma: width in pixels, well above 8.
    """
    size = image.shape[0]
    coarse = image.reshape(size // 8, 8, size // 8, 8).mean(axis=(1, 3))
    smooth: Array = zoom(
        gaussian_filter(coarse, sigma / 8, mode="nearest"),
        8,
        order=1,
        mode="nearest",
        grid_mode=True,
    )
    return smooth
