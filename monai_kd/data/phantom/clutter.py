# SPDX-License-Identifier: Apache-2.0
"""What is on films besides anatomy and disease: harmless shadows, devices, markers, borders.

All of it is drawn without a look at the findings, so that it misleads but never tells.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from monai_kd.data.phantom.anatomy import Chest
from monai_kd.data.phantom.geometry import Array, Pose, noise_fields, soft_step, splat

__all__ = ["add_border_and_marker", "draw_clutter"]

_LETTERS = {
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
}


def draw_clutter(
    rng: np.random.Generator, film_rng: np.random.Generator, pose: Pose, chest: Chest, sex: str
) -> Array:
    """Return the attenuation of harmless shadows and devices, ``(size, size)``.

    Args:
        rng: the patient's source: what the patient carries on every film.
        film_rng: the film's source: what changes from film to film.
        pose: position before the film.
        chest: the chest they lie on.
        sex: ``"F"`` adds breast shadows.
    """
    x, y = chest.x, chest.y
    total: Array = _nodules(rng, x, y)
    if sex == "F":
        size, low = rng.uniform(42, 62), rng.uniform(45, 75)
        total = total + rng.uniform(0.15, 0.4) * _breasts(x, y, size, low)
    (mottle,) = noise_fields(film_rng, pose.size, [(3.5 / pose.spacing, 30 / pose.spacing)])
    total = total + film_rng.uniform(0.01, 0.03) * mottle * chest.body
    if rng.random() < 0.15:
        total = total + _pacemaker(rng, pose, x, y)
    if film_rng.random() < 0.3:
        total = total + _wires(film_rng, pose)
    if film_rng.random() < 0.2:  # skin fold
        at, tilt = film_rng.uniform(60, 110) * film_rng.choice([-1, 1]), film_rng.normal(0, 0.2)
        away = x - at - tilt * y
        total = total + 0.10 * soft_step(away, 1.5) * np.exp(-np.clip(away, 0, 90) / 14)
    return total


def add_border_and_marker(
    rng: np.random.Generator, film: Array, pose: Pose, collimated: float
) -> Array:
    """Return the film with a side marker and, on some, black collimation borders.

    Args:
        rng: the film's source.
        film: ``(size, size)``, 0 to 1.
        pose: gives the size.
        collimated: share of films with borders.
    """
    size = pose.size
    out = film.copy()
    if rng.random() < collimated:
        low, high = rng.integers(0, size // 14, 2), size - rng.integers(0, size // 14, 2)
        border = rng.uniform(0, 0.06)
        for axis in (0, 1):
            view = out if axis == 0 else out.T
            view[: low[axis]] = border
            view[high[axis] :] = border
    name = "L" if rng.random() < 0.5 else "R"
    scale = max(1, size // 128)
    letter = np.array([[int(c) for c in line] for line in _LETTERS[name]], bool)
    letter = np.kron(letter, np.ones((scale, scale), bool))
    h, w = letter.shape
    row = int(rng.integers(size // 20, size // 5))
    column = int(rng.integers(size // 40, size // 9))
    column = size - w - column if name == "L" else column
    patch = out[row : row + h, column : column + w]
    patch[letter] = rng.uniform(0.85, 1.0)
    return out


def _nodules(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Return nipples and old calcified nodules."""
    total = np.zeros_like(x)
    if rng.random() < 0.35:
        across, down = rng.uniform(62, 88), rng.uniform(48, 72)
        for side in (-1, 1):
            r = np.hypot(x - side * across, y - down - rng.normal(0, 3))
            total = total + 0.12 * soft_step(4.5 - r, 1.2)
    for _ in range(int(rng.integers(0, 4))):
        u, v, radius = rng.uniform(35, 105), rng.uniform(-95, 60), rng.uniform(1.5, 3.0)
        r = np.hypot(x - u * rng.choice([-1, 1]), y - v)
        total = total + 0.25 * soft_step(radius - r, 1.0)
    return total


def _breasts(x: Array, y: Array, size: float, low: float) -> Array:
    r = np.hypot((np.abs(x) - 74) / size, (y - low) / (0.95 * size))
    shadow: Array = np.clip(1 - r**2, 0, 1) ** 0.5 * soft_step(y - low + 0.9 * size, 0.7 * size)
    return shadow


def _pacemaker(rng: np.random.Generator, pose: Pose, x: Array, y: Array) -> Array:
    side = rng.choice([-1, 1], p=[0.3, 0.7])
    u, v = np.abs(x - side * rng.uniform(80, 100)) / 21, np.abs(y + rng.uniform(68, 90)) / 17
    box = soft_step(1 - (u**4 + v**4) ** 0.25, 0.06)
    lead = np.linspace(0, 1, 300)
    line = np.stack(
        [side * (78 - 96 * lead + 40 * lead**2), -80 + 140 * lead**1.5 - 60 * np.sin(2.6 * lead)]
    )
    return 1.3 * box + _strand(pose, line, 0.8)


def _wires(rng: np.random.Generator, pose: Pose) -> Array:
    total = np.zeros((pose.size, pose.size), np.float32)
    s = np.linspace(0, 1, 300)
    for _ in range(int(rng.integers(1, 4))):
        x0, x1 = rng.uniform(-110, 110, 2)
        y0, y1 = rng.uniform(-160, -60), rng.uniform(0, 150)
        sag = rng.normal(0, 30, 2)
        line = np.stack(
            [
                x0 + (x1 - x0) * s + sag[0] * np.sin(np.pi * s),
                y0 + (y1 - y0) * s + sag[1] * np.sin(2 * np.pi * s),
            ]
        )
        total += _strand(pose, line, 0.45)
    return total


def _strand(pose: Pose, line: Array, strength: float) -> Array:
    column, row = pose.to_pixels(*line)
    step = np.hypot(np.gradient(column), np.gradient(row))
    strand: Array = gaussian_filter(splat(pose.size, column, row, strength * step), 0.6)
    return strand
