# SPDX-License-Identifier: Apache-2.0
"""Phantom films with as many fractures as a test asks for: none, five, or others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

from monai_kd.data.phantom import film as phantom_film
from monai_kd.data.phantom.bones import Break
from monai_kd.data.phantom.dicom import film_to_dicom
from monai_kd.data.phantom.film import Film, Rendering
from monai_kd.data.phantom.plan import plan_films

__all__ = ["FIVE_FRACTURES", "render_fractures", "write_fractures"]

FIVE_FRACTURES = (
    Break(bone=3, at=0.30, step=11.0, gap=8.0, bend=3.0),
    Break(bone=6, at=0.36, step=-11.0, gap=8.0, bend=-3.0),
    Break(bone=16, at=0.28, step=11.0, gap=8.0, bend=3.0),
    Break(bone=19, at=0.36, step=-11.0, gap=8.0, bend=-3.0),
    Break(bone=24, at=0.50, step=11.0, gap=8.0, bend=3.0),
)
"""Four ribs, two on each side, and the right clavicle."""


def render_fractures(
    breaks: tuple[Break, ...] = FIVE_FRACTURES, *, size: int = 192, seed: int = 0
) -> tuple[Film, Rendering]:
    """Draw one film with these fractures and no others.

    Args:
        breaks: ``()`` is a film without a fracture.
        size: rows and columns, a multiple of 8.
        seed: draws all the rest; the same for any ``breaks``.
    """
    film = plan_films(40, seed, "fracture")[0]
    kinds = {"rib_fracture" if b.bone < 24 else "clavicle_fracture" for b in breaks}
    present = tuple(sorted(kinds, reverse=True))
    film = replace(film, drawn=True, patient=replace(film.patient, present=present))
    with mock.patch.object(phantom_film, "_findings", return_value=((), breaks)):
        return film, phantom_film.render_film(film, size)


def write_fractures(
    path: Path, breaks: tuple[Break, ...] = FIVE_FRACTURES, *, size: int = 192, seed: int = 0
) -> Rendering:
    """Write that film as a DICOM file, and return what is on it.

    Args:
        path: of the file, in a folder that exists.
        breaks: see :func:`render_fractures`.
        size: see :func:`render_fractures`.
        seed: see :func:`render_fractures`.
    """
    film, rendering = render_fractures(breaks, size=size, seed=seed)
    path.write_bytes(film_to_dicom(film, rendering))
    return rendering
