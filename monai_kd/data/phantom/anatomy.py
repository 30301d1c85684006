# SPDX-License-Identifier: Apache-2.0
"""Soft tissue, lungs, heart, diaphragm and spine of the phantom, as attenuation along the beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_kd.data.phantom.bones import RIB_HALF_WIDTH, RIB_WIDEST
from monai_kd.data.phantom.geometry import Array, Pose, soft_step

__all__ = ["Chest", "build_chest"]

_MU = 0.0105  # effective attenuation of soft tissue per millimetre


@dataclass(frozen=True)
class Chest:
    """What a chest without bones looks like to the beam; every field is ``(size, size)``.

    Args:
        x: millimetres to the patient's left, float32.
        y: millimetres towards the feet, float32.
        attenuation: soft tissue and spine, less the air of the lungs.
        air: 0 to 1, how much lung the beam crosses.
        lung_mask: where the lung is seen, bool.
        body: 0 to 1, where the beam crosses the patient at all.
    """

    x: Array
    y: Array
    attenuation: Array
    air: Array
    lung_mask: Array
    body: Array


def build_chest(pose: Pose, shape: Array) -> Chest:
    """Lay out one patient's chest in one pose.

    Args:
        pose: position before the film.
        shape: the patient's own shape, 64 numbers around 0 with SD 1.
    """
    x, y = pose.grid()
    heart = _heart(x, y, pose, shape)
    outer, inner, floor = _lung_edges(x, y, pose, shape)
    lung_mask = (outer > 0) & (inner > 0) & (floor > 0) & (heart < 0.35)
    air = (1 - np.exp(-np.maximum(outer, 0) / 16)) * soft_step(inner - 2, 5) * soft_step(floor, 1.5)
    air = air * (1 - 0.8 * heart)
    depth = 150 * (1 + 0.06 * shape[50])
    body_path, body = _body(x, y, pose, shape)
    attenuation = _MU * (body_path - 0.78 * depth * air) + _midline(x, y, pose, shape)
    attenuation = attenuation + 0.16 * heart + _belly(x, y, floor, pose, shape)
    return Chest(x, y, attenuation * body, air, lung_mask, body)


def _lung_edges(x: Array, y: Array, pose: Pose, shape: Array) -> tuple[Array, Array, Array]:
    """Return signed distances (positive inside) to the chest wall, mediastinum and diaphragm."""
    apex = -131.0 + 2 * shape[28] + 3 * np.sign(x) * 0.5
    heights = np.concatenate([[-131, -129, -125, -117], RIB_WIDEST[:10], [160]])
    widths = np.concatenate([[20, 33, 46, 57], RIB_HALF_WIDTH[:10] - 3, [120]])
    wall = np.interp(y, heights + (apex.mean() + 131), widths).astype(np.float32)
    outer = wall - np.abs(x)
    left = x > 0
    bulge = 5 * np.exp(-(((y + 5) / 26) ** 2))
    knob = (9 + 2 * shape[29]) * np.exp(-(((y + 48) / 15) ** 2)) * left
    inner = np.abs(x) - (21 + 1.5 * shape[30] + bulge + knob - 5 * soft_step(-100 - y, 25))
    side = np.where(left, 1.0, -1.0)
    dome = 80 + pose.inspiration + np.where(left, 9 + 4 * shape[31], -3) + 3 * shape[32]
    t = (x * side - (62 + 4 * shape[33])) / 62
    floor = dome + np.where(t > 0, 34, 10) * t**2 + np.where(t > 0.6, 30 * (t - 0.6) ** 2, 0) - y
    return outer, inner, floor


def _heart(x: Array, y: Array, pose: Pose, shape: Array) -> Array:
    """Return 0 (no heart) to 1 (its thickest part)."""
    big = (1 + 0.07 * shape[34]) * (1.05 if pose.turn > 0 else 1.0)
    down = 50 + pose.inspiration * 0.6
    thickest = np.zeros_like(x)
    tilt = 0.62 + 0.08 * shape[35]
    for cx, cy, rx, ry, angle in (
        (24 + 3 * shape[36], down + 4, 70, 46, tilt),
        (-16, down + 2, 28, 42, 0.1),
        (18, down - 50, 22, 40, -0.3),
    ):
        u, v = x - cx, y - cy
        cos, sin = np.cos(angle), np.sin(angle)
        r2 = ((cos * u + sin * v) / (rx * big)) ** 2 + ((cos * v - sin * u) / (ry * big)) ** 2
        np.maximum(thickest, np.clip(1 - r2, 0, 1) ** 0.5, out=thickest)
    return thickest


def _body(x: Array, y: Array, pose: Pose, shape: Array) -> tuple[Array, Array]:
    """Return the path through the trunk, neck and arms in millimetres, and where they are."""
    fat = 20 + 7 * shape[37]
    width = 146 + fat + 10 * soft_step(y - 60, 60) - 6 * np.exp(-(((y + 10) / 50) ** 2))
    thick = 205 + 1.2 * fat + 12 * shape[38]
    r2 = np.clip((x / width) ** 2, 0, 1)
    slope = np.exp(-np.maximum(np.abs(x) - 40, 0) / 26)
    shoulder = (-136 - pose.lift) - 130 * slope + 0.0010 * np.maximum(np.abs(x) - 90, 0) ** 2
    below = np.maximum(y - shoulder, 0)
    side = (1 - np.clip(np.abs(x) / (width + 45 * soft_step(-70 - y, 30)), 0, 1) ** 2) ** 0.42
    trunk = thick * np.maximum((1 - r2) ** 0.42, side * soft_step(-70 - y, 40))
    path = trunk * (1 - np.exp(-below / 55)) * soft_step(below - 1, 1.5)
    axis = 176 + 0.26 * (y + 100)
    arm_width = 38 + 0.4 * fat
    across = np.clip(1 - ((np.abs(x) - axis) / arm_width) ** 2, 0, 1) ** 0.5
    arm = 2 * arm_width * across * soft_step(y + 118 + pose.lift - 0.12 * (np.abs(x) - 150), 18)
    path = path + 0.85 * arm * (1 - 0.7 * soft_step(146 + fat - np.abs(x), 20))
    return path, np.clip(path / 12, 0, 1)


def _midline(x: Array, y: Array, pose: Pose, shape: Array) -> Array:
    """Return what spine, sternum and trachea add or take away."""
    near = np.flatnonzero((np.abs(x) < 50).any(axis=0))  # columns; nothing is drawn elsewhere
    part = np.s_[:, near[0] : near[-1] + 1]
    total, x, y = np.zeros_like(x), x[part], y[part]
    x = x - 5 * shape[39] * np.sin((y + 40) / 90) - pose.turn * 40
    level = (y + 120 + 1.5 * shape[47]) / 21.5
    within = (level % 1.0).astype(np.float32)
    half = 16 + 0.02 * (y + 120)
    block = soft_step(half - np.abs(x), 4)
    disc = soft_step(np.abs(within - 0.5) - 0.38, 0.07)
    bone = (0.26 + 0.02 * shape[48]) * block * (1 - 0.42 * disc)
    edge = np.exp(-(((np.abs(x) - half + 1) / 1.8) ** 2)) * (1 - disc) * 0.09
    pedicle = np.exp(
        -(((np.abs(x) - 0.62 * half) / 3.2) ** 2) - (((within - 0.36) * 21.5 / 4.2) ** 2)
    )
    spinous = np.exp(-((x / 2.6) ** 2) - (((within - 0.8) * 21.5 / 5.5) ** 2))
    airway = np.clip(1 - ((x + 2) / 8.5) ** 2, 0, 1) ** 0.5 * soft_step(-28 - y, 8)
    total[part] = bone + edge + 0.12 * pedicle + 0.11 * spinous - 0.24 * airway
    return total


def _belly(x: Array, y: Array, floor: Array, pose: Pose, shape: Array) -> Array:
    """Return what the abdomen adds: liver, less the gas of the stomach."""
    below = soft_step(-floor, 3)
    gas_x, gas_y = 58 + 8 * shape[49], 128 + pose.inspiration + 4 * shape[51]
    r = ((x - gas_x) / (24 + 5 * shape[52])) ** 2 + ((y - gas_y) / (13 + 3 * shape[53])) ** 2
    liver = soft_step(20 - x, 40)
    gas: Array = (0.34 + 0.1 * shape[54]) * np.exp(-(r**2))
    added: Array = below * (0.22 + 0.12 * liver - gas)
    return added
