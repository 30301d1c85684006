# SPDX-License-Identifier: Apache-2.0
"""Opacities of the phantom: what bacterial, viral and tuberculous disease adds to a lung.

The three differ in texture, place and number, not in the amount of attenuation: that is drawn
from one distribution, so that the gray values alone do not tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_kd.data.phantom.anatomy import Chest
from monai_kd.data.phantom.bones import RIB_HALF_WIDTH, RIB_WIDEST
from monai_kd.data.phantom.geometry import Array, Pose, noise_fields, soft_step
from monai_kd.data.phantom.vessels import fan, project_lines

__all__ = ["Patch", "draw_patches", "patch_polygon", "render_patches"]


@dataclass(frozen=True)
class Patch:
    """One opacity, a wobbly disc.

    Args:
        kind: ``"bacterial"``, ``"viral"`` or ``"tuberculosis"``.
        center: x and y in body millimetres.
        radius: mean radius, millimetres.
        wobble: amplitude and phase of the outline's harmonics 2 to 5, ``(2, 4)``.
        seed: draws the texture.
    """

    kind: str
    center: tuple[float, float]
    radius: float
    wobble: Array
    seed: int

    def reach(self, angle: Array) -> Array:
        """Return the distance of the outline from the center at each angle, millimeters.

        Args:
            angle: radians, any shape.
        """
        waves = [
            amplitude * np.cos((k + 2) * angle + phase)
            for k, (amplitude, phase) in enumerate(self.wobble.T)
        ]
        distance: Array = self.radius * (1 + np.sum(waves, axis=0))
        return distance


def draw_patches(rng: np.random.Generator, kind: str) -> tuple[Patch, ...]:
    """Draw the opacities of one patient.

    Args:
        rng: the patient's source.
        kind: see :class:`Patch`.
    """
    if kind == "bacterial":
        number, low, high = int(rng.integers(1, 3)), 30.0, 42.0
    elif kind == "viral":
        number, low, high = int(rng.integers(4, 7)), 18.0, 25.0
    else:
        number, low, high = int(rng.integers(2, 4)), 15.0, 23.0
    patches: list[Patch] = []
    for _ in range(60):
        if len(patches) == number:
            break
        side = 1 if rng.random() < 0.5 else -1
        y = rng.uniform(-104, -74) if kind == "tuberculosis" else rng.uniform(-72, 58)
        wall = np.interp(y, RIB_WIDEST, RIB_HALF_WIDTH)
        inner = 36 + (30 if side > 0 and y > 0 else 0)
        radius = rng.uniform(low, high)
        near, far = min(inner + 0.5 * radius, 0.75 * wall), max(wall - radius, 40)
        x = side * rng.uniform(min(near, far), max(near, far))
        wobble = np.stack([rng.uniform(0, 0.13, 4), rng.uniform(0, 2 * np.pi, 4)])
        apart = [np.hypot(x - p.center[0], y - p.center[1]) - p.radius for p in patches]
        if min(apart, default=99) > radius * 0.9:
            patches.append(Patch(kind, (x, y), radius, wobble, int(rng.integers(1 << 31))))
    return tuple(patches)


def render_patches(pose: Pose, chest: Chest, patches: tuple[Patch, ...], amount: float) -> Array:
    """Return the attenuation that opacities add, ``(size, size)``, never below 0.

    Args:
        pose: position before the film.
        chest: the lungs they lie in; nothing is added outside.
        patches: the opacities.
        amount: attenuation times square millimetres, shared by the patches by area.
    """
    total = np.zeros_like(chest.x)
    area = sum(p.radius**2 for p in patches)
    for patch in patches:
        part = _window(pose, patch)
        dx, dy = chest.x[part] - patch.center[0], chest.y[part] - patch.center[1]
        edge = patch.reach(np.arctan2(dy, dx)) - np.hypot(dx, dy)
        drawn = soft_step(edge - 3, 3) * (chest.air * chest.lung_mask)[part]
        drawn = drawn * _texture(pose, patch, part, np.hypot(dx, dy))
        mass = float(drawn.sum()) * pose.pixel_area
        whole = np.pi * patch.radius**2
        seen = min(1.0, mass / (0.25 * whole))  # a patch half hidden by the heart adds less
        total[part] += drawn * np.float32(seen * amount * patch.radius**2 / area / max(mass, 1e-6))
    return total


def patch_polygon(pose: Pose, chest: Chest, patch: Patch, corners: int = 32) -> list[list[float]]:
    """Return the outline of what is seen of an opacity, ``[[x, y], ...]`` in pixels.

    Args:
        pose: position before the film.
        chest: its lungs; the outline ends where the lung is no longer seen.
        patch: the opacity.
        corners: number of points.
    """
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    share = np.linspace(0, 1, 40)[:, None]
    distance = share * (patch.reach(angle) + 1.5)
    x = patch.center[0] + distance * np.cos(angle)
    y = patch.center[1] + distance * np.sin(angle)
    column, row = pose.to_pixels(x, y)
    limit = pose.size - 1
    seen = chest.lung_mask[
        np.clip(row, 0, limit).astype(int), np.clip(column, 0, limit).astype(int)
    ]
    last = np.where(seen, np.arange(40)[:, None], 0).max(axis=0)
    last = np.minimum(last + 1, 39)
    pick = np.arange(corners)
    corner = np.stack([column[last, pick], row[last, pick]], axis=1)
    return [[round(float(a), 1), round(float(b), 1)] for a, b in np.clip(corner, 0, pose.size)]


def _window(pose: Pose, patch: Patch) -> tuple[slice, slice]:
    """Return the rows and columns that hold a patch."""
    column, row = pose.to_pixels(np.array(patch.center[0]), np.array(patch.center[1]))
    half = 1.6 * patch.radius * max(pose.stretch) / pose.spacing
    ends = [(max(0, int(c - half)), min(pose.size, int(c + half) + 2)) for c in (row, column)]
    return slice(*ends[0]), slice(*ends[1])


def _texture(pose: Pose, patch: Patch, part: tuple[slice, slice], away: Array) -> Array:
    """Return the relative density inside a patch, about 0 to 1.5, in the window ``part``."""
    rng = np.random.default_rng(patch.seed)
    mm = pose.spacing
    height, width = away.shape
    if min(height, width) < 1:
        return away

    def fields(*bands: tuple[float, float]) -> Array:
        pixels = [(fine / mm, coarse / mm) for fine, coarse in bands]
        return noise_fields(rng, max(height, width), pixels)[:, :height, :width]

    if patch.kind == "viral":  # a net of septa with small nodules
        net, nodules, patchy = fields((2.5, 5.5), (2.0, 3.6), (6, 14))
        septa = np.exp(-((net / 0.4) ** 2)) * np.clip(0.8 + 0.4 * patchy, 0.1, 1.6)
        veiled: Array = 0.1 + septa + 0.8 * np.clip(nodules - 0.8, 0, 1.5)
        return veiled
    if patch.kind == "bacterial":  # dense and even, air still in the bronchi
        (cloud,) = fields((6.0, 14.0))
        air = _bronchi(rng, pose, patch)[part]
        dense: Array = np.clip(0.95 + 0.18 * cloud, 0.3, 1.5) * np.clip(1 - air, 0.05, 1)
        return dense
    clumps, strands = fields((3.0, 7.0), (1.6, 3.2))
    reach = rng.uniform(6, 9)
    ring = np.exp(-(((away - reach) / 2.2) ** 2))
    patchy = 0.15 + np.clip(clumps, 0, 2) + 0.5 * np.exp(-((strands / 0.35) ** 2))
    cavity = patch.seed % 3 != 0
    return np.where(away < reach, 0.15, patchy) + 2.2 * ring if cavity else patchy


def _bronchi(rng: np.random.Generator, pose: Pose, patch: Patch) -> Array:
    """Return how empty the bronchi make a consolidation, 0 to about 1."""
    x, y = patch.center
    side = 1.0 if x > 0 else -1.0
    away = np.arctan2(y + 5, side * x - 28)
    lines, n = 5, 50
    start = np.stack(
        [
            x - side * np.cos(away) * patch.radius * 1.05 + rng.normal(0, 3, lines),
            y - np.sin(away) * patch.radius * 1.05 + rng.normal(0, 3, lines),
        ]
    )
    angle = away + np.linspace(-0.75, 0.75, lines) + rng.normal(0, 0.08, lines)
    length = np.full(lines, 2.1 * patch.radius)
    points, _ = fan(rng, start, angle, length, side=np.full(lines, side), n=n)
    radius = np.broadcast_to(np.linspace(2.4, 1.5, n), (lines, n)).ravel()
    return 0.3 * project_lines(pose, points.reshape(2, -1), radius, float(length[0]) / n)
