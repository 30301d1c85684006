# SPDX-License-Identifier: Apache-2.0
"""Vessels of the phantom's lungs: random trees from each hilum that thin out to the wall."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from monai_kd.data.phantom.geometry import Array, Pose, splat

__all__ = ["draw_vessels", "fan", "project_lines"]


def draw_vessels(rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Draw the trees of both lungs.

    Args:
        rng: the patient's source, so that all films of a patient share the trees.

    Returns:
        Per generation: points ``(2, n)`` in body millimetres and their radius ``(n,)``.
    """
    generations: list[tuple[Array, Array]] = []
    count = 11
    side = np.repeat([-1.0, 1.0], count)
    start = np.stack([side * rng.uniform(26, 36, 2 * count), rng.uniform(-22, 12, 2 * count)])
    angle = np.tile(np.linspace(-1.35, 1.35, count), 2) + rng.normal(0, 0.12, 2 * count)
    length, radius = rng.uniform(75, 110, 2 * count), rng.uniform(2.8, 4.2, 2 * count)
    for children in (3, 3, 0):
        points, direction = fan(rng, start, angle, length, side=side, n=60)
        along = np.linspace(0, 1, 60)[None, :]
        thick = radius[:, None] * (1 - 0.75 * along)
        generations.append((points.reshape(2, -1), thick.ravel()))
        if not children:
            break
        n = len(side)
        where = rng.integers(8, 46, (n, children))
        rows = np.arange(n)[:, None]
        start = points[:, rows, where].reshape(2, -1)
        turn = rng.choice([-1.0, 1.0], (n, children)) * rng.uniform(0.4, 0.9, (n, children))
        angle = (direction[rows, where] + turn).ravel()
        length = np.repeat(length * 0.5, children) * rng.uniform(0.7, 1.1, n * children)
        radius = 0.8 * thick[rows, where].ravel()
        side = np.repeat(side, children)
    return generations


def fan(
    rng: np.random.Generator, start: Array, angle: Array, length: Array, *, side: Array, n: int
) -> tuple[Array, Array]:
    """Return gently curved lines ``(2, lines, n)`` and their direction ``(lines, n)``.

    Args:
        rng: source of the curvature.
        start: first points, ``(2, lines)``.
        angle: direction in radians, 0 away from the midline, positive towards the feet.
        side: -1 for the right lung, 1 for the left, ``(lines,)``.
        length: length of each line, millimetres.
        n: points per line.
    """
    bend = rng.normal(0, 0.5, (len(side), 1)) * np.linspace(0, 1, n)[None, :]
    direction = angle[:, None] + bend + rng.normal(0, 0.05, (len(side), n)).cumsum(axis=1) * 0.3
    step = (length / n)[:, None]
    dx = (side[:, None] * np.cos(direction) * step).cumsum(axis=1)
    dy = (np.sin(direction) * step).cumsum(axis=1)
    return np.stack([start[0][:, None] + dx, start[1][:, None] + dy]), direction


def project_lines(pose: Pose, points: Array, radius: Array, step: float) -> Array:
    """Return the attenuation of round strands, ``(size, size)``, mean thickness in millimetres.

    Args:
        pose: position before the film.
        points: ``(2, n)`` in body millimetres, ``step`` apart.
        radius: of the strand at each point, millimetres.
        step: distance of neighboring points, millimetres.
    """
    column, row = pose.to_pixels(points[0], points[1])
    drawn = splat(pose.size, column, row, np.pi * radius**2 * step / pose.pixel_area)
    blurred: Array = gaussian_filter(drawn, 0.25 + 0.62 * float(radius.mean()) / pose.spacing)
    return blurred
