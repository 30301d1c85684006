# SPDX-License-Identifier: Apache-2.0
"""Ribs, clavicles and shoulders of the phantom: hollow tubes in three dimensions, projected.

A tube is sampled as points on its cortex; projecting their mass gives bright edges, bright
tangents at the chest wall and true overlap of front and back without any drawing rule. A break
moves the points near one place, so the rest of the film does not change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from monai_kd.data.phantom.geometry import Array, Pose, splat

__all__ = ["RIB_HALF_WIDTH", "RIB_WIDEST", "Break", "break_box", "draw_breaks", "project_bones"]

RIB_HALF_WIDTH = np.array([64, 94, 110, 119, 125, 129, 132, 133, 132, 126, 105, 70], float)
_RIB_TOP = -120 + 21.5 * np.arange(12.0)
_RIB_DROP = np.array([26, 44, 58, 68, 76, 82, 88, 90, 86, 72, 45, 20], float)
_RIB_END = np.pi * np.array([0.8, 0.8, 0.8, 0.8, 0.79, 0.78, 0.76, 0.72, 0.66, 0.58, 0.48, 0.34])
RIB_WIDEST = _RIB_TOP + _RIB_DROP / 2
"""Height (mm) at which each rib is widest: the outline of the lung."""

_REACH = 11.0  # millimetres along the bone in which displaced fragments return to its line
_SEEN = 18.0  # millimetres along the bone that a box holds, to either side
_DENSE_REACH = 7.0  # millimetres of the fragments' ends that look denser
_DENSER = 3.5  # by this share of the bone: cortex seen end-on, and fragments that overlap


@dataclass(frozen=True)
class Break:
    """One fracture.

    Args:
        bone: 0 to 23: ribs 1-12 of the right, then of the left side; 24, 25: clavicles.
        at: where on the bone, 0 (medial) to 1 (free end).
        step: displacement of the outer fragment across the bone, millimetres.
        gap: millimetres of bone that are missing.
        bend: angulation, millimetres of sideways excursion at the break.
    """

    bone: int
    at: float
    step: float
    gap: float
    bend: float


def draw_breaks(rng: np.random.Generator, kind: str) -> tuple[Break, ...]:
    """Draw the fractures of one patient: of a clavicle, or of one to three ribs of one side.

    Broken ribs are three apart, so that each fracture has a box and a peak of its own.

    Args:
        rng: source of the draw.
        kind: ``"rib_fracture"`` or ``"clavicle_fracture"``.
    """
    side, sign = int(rng.integers(2)), float(rng.choice([-1, 1]))
    if kind == "clavicle_fracture":
        return (_draw_break(rng, 24 + side, rng.uniform(0.38, 0.62), sign),)
    count, at = 1 + int(rng.binomial(2, 0.4)), rng.uniform(0.24, 0.4)
    first = 12 * side + int(rng.integers(2, 12 - 3 * count))
    places = at + rng.uniform(-0.03, 0.03, count)
    return tuple(_draw_break(rng, first + 3 * k, places[k], sign) for k in range(count))


def _draw_break(rng: np.random.Generator, bone: int, at: float, sign: float) -> Break:
    step, gap, bend = rng.uniform(9, 13), rng.uniform(8, 12), rng.uniform(2, 5)
    return Break(bone, float(at), sign * step, gap, sign * bend)


def project_bones(pose: Pose, shape: Array, breaks: tuple[Break, ...] = ()) -> Array:
    """Return the attenuation of ribs, clavicles and shoulders, ``(size, size)``.

    Args:
        pose: position before the film.
        shape: the patient's own shape, 64 numbers around 0 with SD 1.
        breaks: fractures.
    """
    by_bone = {b.bone: b for b in breaks}
    columns, rows, weights = [], [], []
    for bone in range(30):
        line, height, mass = _center_line(bone, pose, shape)
        points, weight = _tube(line, height, mass, by_bone.get(bone))
        column, row = pose.to_pixels(*points)
        columns.append(column)
        rows.append(row)
        weights.append(weight)
    drawn = splat(pose.size, np.concatenate(columns), np.concatenate(rows), np.concatenate(weights))
    bones = gaussian_filter(drawn / np.float32(pose.pixel_area), 0.3 + 0.7 / pose.spacing)
    flat: Array = 0.42 * (1 - np.exp(-bones / 0.42))  # scatter and hardening flatten what is dense
    return flat


def break_box(pose: Pose, shape: Array, broken: Break) -> tuple[float, float, float, float]:
    """Return ``(x_min, y_min, x_max, y_max)`` in pixels around a fracture.

    Args:
        pose: position before the film.
        shape: the patient's own shape.
        broken: the fracture.
    """
    line, height, _ = _center_line(broken.bone, pose, shape)
    _, up, _ = _directions(line)
    near = np.abs(_distance(line, broken.at)) < _SEEN
    both = np.concatenate([line[:, near], _displaced(line, up, broken)[:, near]], axis=1)
    column, row = pose.to_pixels(*both)
    aside, margin = 1 + height / 4 / pose.spacing, height / 2 / pose.spacing
    return (
        float(column.min() - aside),
        float(row.min() - margin),
        float(column.max() + aside),
        float(row.max() + margin),
    )


def _center_line(bone: int, pose: Pose, shape: Array) -> tuple[Array, float, float]:
    """Return the line ``(3, n)``, its height in millimetres and its mass per square millimetre."""
    if bone < 24:
        return _rib(bone, pose, shape)
    side = -1 if bone % 2 == 0 else 1
    n = max(16, round(150 / pose.spacing))
    s = np.linspace(0, 1, n)
    z = np.full(n, 140.0)
    if bone < 26:  # clavicles
        y = -104 + 2 * shape[40] - s * (20 + 4 * shape[41] + 0.8 * pose.lift)
        y = y - (6 + shape[42]) * np.sin(2 * np.pi * s * 0.95)
        return np.stack([side * (20 + 138 * s), y, z]), 11 + shape[43], 0.115
    lift = pose.lift * s * 0.3
    if bone < 28:  # upper arm
        x = side * (172 + 4 * shape[44] + 38 * s)
        return np.stack([x, -92 + 150 * s - lift, z * 0 + 90]), 24 - 2 * shape[45], 0.05
    x = side * (100 + 5 * shape[46] + 12 * s + 26 * s**2 - 26 * s)  # inner edge of the scapula
    return np.stack([x, -104 + 118 * s - lift, z * 0 + 10]), 5.0, 0.06


def _rib(bone: int, pose: Pose, shape: Array) -> tuple[Array, float, float]:
    level, side = bone % 12, (-1 if bone < 12 else 1)
    half_width = RIB_HALF_WIDTH[level]
    n = max(24, round(2.6 * half_width / pose.spacing))
    angle = np.linspace(0.05, _RIB_END[level], n)
    x = 14 + (half_width - 14) * np.sin(angle) ** (0.72 + 0.04 * shape[24])
    drop = _RIB_DROP[level] * (1 + 0.10 * shape[25]) + pose.inspiration * -0.4
    y = _RIB_TOP[level] + drop * (1 - np.cos(angle)) / 2 + 1.3 * shape[level + 12 * (bone >= 12)]
    y = y + (2.0 + shape[26]) * np.sin(2 * angle)
    return np.stack([side * x, y, 85 * (1 - np.cos(angle))]), 12 + 0.8 * shape[27], 0.085


def _distance(line: Array, at: float) -> Array:
    """Return the millimetres along a line from the point ``at`` (0 to 1)."""
    steps = np.sqrt((np.diff(line, axis=1) ** 2).sum(axis=0))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    length: Array = along - at * along[-1]
    return length


def _directions(line: Array) -> tuple[Array, Array, Array]:
    """Return the length of each step ``(n,)`` and what is up and flat there, each ``(3, n)``."""
    tangent = np.gradient(line, axis=1)
    length = np.sqrt((tangent**2).sum(axis=0)) + 1e-9
    tangent = tangent / length
    up = np.array([[0.0], [1.0], [0.0]]) - tangent * tangent[1]
    up = up / (np.sqrt((up**2).sum(axis=0)) + 1e-9)
    flat = np.stack([tangent[k - 2] * up[k - 1] - tangent[k - 1] * up[k - 2] for k in range(3)])
    return length, up, flat


def _displaced(line: Array, up: Array, broken: Break) -> Array:
    """Return the line as it runs after the fracture."""
    distance = _distance(line, broken.at)
    fade = np.exp(-((distance / _REACH) ** 2))
    moved: Array = line + up * (np.where(distance > 0, broken.step, 0.0) + broken.bend) * fade
    return moved


def _tube(line: Array, height: float, mass: float, broken: Break | None) -> tuple[Array, Array]:
    """Return points ``(3, m)`` on the cortex and inside, and the mass of each."""
    length, up, flat = _directions(line)
    weight = length * mass
    if broken is not None:
        beyond = np.abs(_distance(line, broken.at)) - broken.gap / 2
        weight = weight * (beyond > 0) * (1 + _DENSER * np.exp(-((beyond / _DENSE_REACH) ** 2)))
        line = _displaced(line, up, broken)
    n = line.shape[1]
    around = 16 + 8 * (height > 15)
    # The ring is turned a little from point to point, so that sampling leaves no stripes.
    phase = 2 * np.pi * (np.arange(around)[:, None] + 0.618 * np.arange(n)[None, :]) / around
    phase = phase.astype(np.float32)
    reach = np.where(np.arange(around) % 4 == 3, 0.55, 1.0)[:, None]  # one in four: marrow
    points = (
        line[:, None, :]
        + up[:, None, :] * (height / 2 * reach * np.cos(phase))
        + flat[:, None, :] * (height / 4 * reach * np.sin(phase))
    )
    perimeter = 2.4 * height
    each = np.broadcast_to(weight * perimeter / around, (around, n))
    return points.reshape(3, -1), each.ravel()
