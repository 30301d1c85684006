# SPDX-License-Identifier: Apache-2.0
"""One film of the phantom, from the patient's shape to stored pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monai_kd.data.phantom.anatomy import Chest, build_chest
from monai_kd.data.phantom.bones import Break, break_box, draw_breaks, project_bones
from monai_kd.data.phantom.clutter import add_border_and_marker, draw_clutter
from monai_kd.data.phantom.findings import (
    Patch,
    draw_patches,
    patch_polygon,
    render_patches,
)
from monai_kd.data.phantom.geometry import Array, Pose
from monai_kd.data.phantom.scanner import SITES, Stored, develop, store
from monai_kd.data.phantom.vessels import draw_vessels, project_lines

__all__ = ["Film", "Patient", "Rendering", "render_film"]


@dataclass(frozen=True)
class Patient:
    """One invented person.

    Args:
        number: from 0; draws body and disease together with ``seed``.
        seed: the archive's seed and the task, as integers.
        name: in DICOM's form, ``Family^Given``.
        mrn: medical record number.
        sex: ``"F"`` or ``"M"``.
        age: years.
        site: see :data:`monai_kd.data.phantom.scanner.SITES`.
        present: names of the findings that the patient has.
        mass: attenuation times square millimetres that opacities add, or else about as much haze.
        bone: how much brighter than on a film of the lungs the bones are.
    """

    number: int
    seed: tuple[int, int]
    name: str
    mrn: str
    sex: str
    age: int
    site: str
    present: tuple[str, ...]
    mass: float
    bone: float = 1.0


@dataclass(frozen=True)
class Film:
    """One film of one patient.

    Args:
        number: from 1, over the archive.
        patient: who is on it.
        visit: from 0, over the patient's films.
        view: ``"PA"`` or ``"AP"``.
        drawn: whether an expert drew the findings of this film.
    """

    number: int
    patient: Patient
    visit: int
    view: str
    drawn: bool

    @property
    def name(self) -> str:
        """File name without its ending; says nothing about the patient."""
        return f"film_{self.number:04d}"


@dataclass(frozen=True)
class Rendering:
    """What :func:`render_film` returns.

    Args:
        stored: pixels and how to show them.
        film: what they show, 0 (black) to 1 (white), ``(size, size)`` float32.
        lung_mask: where lung is seen, bool, ``(size, size)``.
        regions: what a perfect expert would draw, with ``finding``.
        spacing: millimetres per pixel.
    """

    stored: Stored
    film: Array
    lung_mask: Array
    regions: list[dict[str, Any]] = field(default_factory=list)
    spacing: float = 1.0


def render_film(film: Film, size: int, *, with_findings: bool = True) -> Rendering:
    """Draw one film; the same film always gives the same pixels.

    Args:
        film: what to draw.
        size: rows and columns, a multiple of 8.
        with_findings: False leaves the findings out and everything else, down to the noise, as
            it is; the regions are still told.
    """
    patient = film.patient
    body_rng = np.random.default_rng([*patient.seed, patient.number])
    film_rng = np.random.default_rng([*patient.seed, patient.number, film.visit + 1])
    shape = np.clip(body_rng.standard_normal(64), -2, 2)
    shape[37] += 0.4 if patient.age > 55 else 0.0
    pose = _pose(film_rng, film, size, shape)
    vessels = draw_vessels(body_rng)
    patches, breaks = _findings(body_rng, patient)
    chest = build_chest(pose, shape)

    base = chest.attenuation + _vessel_tree(pose, chest, vessels)
    base = base + draw_clutter(body_rng, film_rng, pose, chest, patient.sex)
    base = base + _veil(body_rng, pose, chest, patient.mass, diseased=bool(patches))
    bone = patient.bone * float(np.exp(0.1 * shape[55] - 0.004 * max(patient.age - 50, 0)))
    whole = base + bone * chest.body * project_bones(pose, shape)
    seen = whole
    if with_findings and breaks:
        seen = base + bone * chest.body * project_bones(pose, shape, breaks)
    if patches:
        amount = patient.mass * body_rng.uniform(0.75, 1.25)
        if with_findings:
            seen = seen + render_patches(pose, chest, patches, amount)
    scanner = SITES[patient.site]
    picture = develop(film_rng, scanner, seen, whole, chest.body)
    picture = add_border_and_marker(film_rng, picture, pose, scanner.collimated)
    return Rendering(
        stored=store(film_rng, picture, scanner.modality),
        film=picture.astype(np.float32),
        lung_mask=chest.lung_mask,
        regions=_regions(pose, chest, shape, patches, breaks),
        spacing=round(pose.spacing, 4),
    )


def _pose(rng: np.random.Generator, film: Film, size: int, shape: Array) -> Pose:
    build = 0.93 if film.patient.sex == "F" else 1.0
    in_bed = film.view == "AP"
    spacing = rng.uniform(310, 370) / size
    return Pose(
        size=size,
        spacing=float(spacing),
        stretch=(
            float(build * (1 + 0.05 * shape[56]) * (1.04 if in_bed else 1.0)),
            float(build * (1 + 0.05 * shape[57])),
        ),
        roll=float(rng.normal(0, 0.045 if in_bed else 0.025)),
        turn=float(rng.normal(0, 0.07 if in_bed else 0.035)),
        shift=(float(rng.normal(0, 9)), float(rng.normal(12, 9))),
        inspiration=float(rng.normal(-10 if in_bed else 0, 6)),
        lift=float(rng.normal(4 if in_bed else 0, 5)),
    )


def _findings(
    rng: np.random.Generator, patient: Patient
) -> tuple[tuple[Patch, ...], tuple[Break, ...]]:
    patches: tuple[Patch, ...] = ()
    breaks: list[Break] = []
    for name in patient.present:
        if name == "healthy":
            continue
        if name.endswith("fracture"):
            breaks += draw_breaks(rng, name)
        else:
            patches += draw_patches(rng, name)
    return patches, tuple(breaks)


def _vessel_tree(pose: Pose, chest: Chest, vessels: list[tuple[Array, Array]]) -> Array:
    strands = [project_lines(pose, points, radius, 1.5) for points, radius in vessels]
    tree: Array = np.sum(strands, axis=0) * np.float32(0.012) * chest.air
    return tree


def _veil(
    rng: np.random.Generator, pose: Pose, chest: Chest, mass: float, *, diseased: bool
) -> Array:
    """Return smooth haze; the healthy get as much more of it as a disease would have added."""
    amount = mass * rng.uniform(0, 0.5)
    amount += 0 if diseased else mass * rng.uniform(0.6, 1.0)
    total = np.zeros_like(chest.x)
    for _ in range(2):
        u, v = rng.choice([-1, 1]) * rng.uniform(45, 95), rng.uniform(-80, 60)
        width = rng.uniform(26, 48)
        total += np.exp(-(((chest.x - u) ** 2 + (chest.y - v) ** 2) / (2 * width**2)))
    total *= chest.air
    return total * np.float32(amount / (float(total.sum()) * pose.pixel_area + 1e-6))


def _regions(
    pose: Pose, chest: Chest, shape: Array, patches: tuple[Patch, ...], breaks: tuple[Break, ...]
) -> list[dict[str, Any]]:
    regions: list[dict[str, Any]] = [
        {"polygon": patch_polygon(pose, chest, patch), "finding": patch.kind} for patch in patches
    ]
    for broken in breaks:
        box = np.array(break_box(pose, shape, broken))
        box[:2], box[2:] = np.floor(box[:2]), np.ceil(box[2:])
        box = np.clip(box, 0, pose.size).astype(int)
        kind = "rib_fracture" if broken.bone < 24 else "clavicle_fracture"
        regions.append({"box": [int(v) for v in box], "finding": kind})
    return regions
