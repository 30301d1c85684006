# SPDX-License-Identifier: Apache-2.0
"""The phantom archive: synthetic chest radiographs as real DICOM files, with planted findings.

It is the built-in data set of every bundle: everything can be tried on it, nothing about patients
can be learned from it. Three tasks:

- ``"opacity"`` (hkd): each film is ``healthy``, ``bacterial`` (dense, with air in the bronchi) or
  ``viral`` (a net of septa with nodules); every opacity is drawn as a polygon.
- ``"fracture"`` (aals): ``rib_fracture`` and ``clavicle_fracture``, independent. Validation and
  test films all have boxes; of the positive ``labeled`` ones about a fifth, the others have
  regions null, and their boxes as ``hidden_regions``, which training must not see.
- ``"tb"`` (distl): ``tuberculosis``, patchy and often with cavities at the apex; nobody drew, a
  tenth of the training films is labeled, the rest arrives in three rounds.

Gray values do not give the findings away: the healthy get as much smooth haze as a disease would
add, exposure and processing vary, and harmless shadows, devices, markers and borders fall on all
alike. A **site effect** is built in: ``north`` (sharp DX), ``south`` (CR) and ``harbor`` (mostly
portable AP films, noisy) look different, and findings are more common at one site than at another
(opacity: each class makes up 46% at one site and 27% at the two others; tuberculosis 36, 50 and
66%; rib fractures 36, 44, 52% and clavicle fractures 24, 32, 40%, in the order of the sites). So a
model can gain a little by recognizing the site; ``site`` is in every item to find that out.
"""

from __future__ import annotations

import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_kd.data.datalist import save_datalist
from monai_kd.data.phantom.film import Film, render_film
from monai_kd.data.phantom.plan import FAKE_FAMILY_NAMES, TASKS, plan_films
from monai_kd.data.phantom.tables import (
    phantom_datalist,
    phantom_labels_csv,
    phantom_regions_json,
)
from monai_kd.data.radiograph import stored_pixels_sha256
from monai_kd.utils import MonaiKDError, check_choice, write_text_atomically

__all__ = ["FAKE_FAMILY_NAMES", "draw_phantom_archive"]

_VERSIONS = {"opacity": 1, "fracture": 2, "tb": 1}
"""Of each task; raise one when the same settings would draw other films of that task."""
_MARK = "phantom.json"

logger = logging.getLogger(__name__)


def draw_phantom_archive(
    folder: str | os.PathLike[str],
    *,
    images: int = 300,
    size: int = 256,
    seed: int = 0,
    task: str = "opacity",
) -> Path:
    """Draw an archive of synthetic chest radiographs with planted findings.

    The folder gets ``dicom/*.dcm``, ``lung_masks/*.png``, ``labels.csv``, ``regions.json`` (COCO)
    and, last, ``datalist.json``; a drawing that was cut short has no ``datalist.json`` and is drawn
    again. An archive that is already there with the same settings is left alone. The invented
    people in the headers have names from :data:`FAKE_FAMILY_NAMES`, record numbers ``MRN...``.

    Args:
        folder: where to draw; made when missing.
        images: number of films, at least 40, so that every section sees every finding.
        size: rows and columns, a multiple of 8, at least 64.
        seed: draws everything; the same settings give the same files, byte for byte.
        task: ``"opacity"``, ``"fracture"`` or ``"tb"``.

    Returns:
        The folder.

    Raises:
        ValueError: if a setting is out of range.
        MonaiKDError: if the folder holds another archive.
    """
    _check_settings(images, size, seed, task)
    root = Path(folder)
    version = _VERSIONS[task]
    settings = {"version": version, "images": images, "size": size, "seed": seed, "task": task}
    if _is_drawn(root, settings):
        return root
    write_text_atomically(root / _MARK, json.dumps(settings) + "\n")
    films = plan_films(images, seed, task)
    regions, pixel_hashes = {}, {}
    for film in films:
        regions[film.number], pixel_hashes[film.number] = _draw_film(film, root, size)
        if film.number % 50 == 0:
            logger.info("Phantom archive: %d of %d films drawn.", film.number, images)
    write_text_atomically(root / "labels.csv", phantom_labels_csv(films, task))
    write_text_atomically(root / "regions.json", phantom_regions_json(films, regions, size, task))
    datalist = phantom_datalist(root, films, regions, settings, pixel_hashes)
    save_datalist(datalist, root / "datalist.json")
    return root


def _check_settings(images: int, size: int, seed: int, task: str) -> None:
    check_choice("draw_phantom_archive", "task", task, TASKS)
    if images < 40:
        raise ValueError(
            f"draw_phantom_archive: `images` must be at least 40, got {images}. Fewer would leave "
            "sections without a finding."
        )
    if size < 64 or size % 8:
        raise ValueError(
            f"draw_phantom_archive: `size` must be a multiple of 8, at least 64, got {size}. "
            f"Take {max(64, size // 8 * 8)}."
        )
    if seed < 0:
        raise ValueError(f"draw_phantom_archive: `seed` must be at least 0, got {seed}.")


def _is_drawn(root: Path, settings: dict[str, Any]) -> bool:
    """Return whether the folder holds this archive, whole; refuse a folder that holds another."""
    mark = root / _MARK
    foreign = any((root / name).exists() for name in ("datalist.json", "labels.csv", "dicom"))
    found = json.loads(mark.read_text()) if mark.exists() else None
    if found != settings and (foreign or found is not None):
        got = f"one drawn with {found}" if found else "other data"
        raise MonaiKDError(
            f"draw_phantom_archive: `folder` must be empty or hold the archive of {settings}, got "
            f"{got}. Delete that folder, or name another one."
        )
    return (root / "datalist.json").exists()


def _draw_film(film: Film, root: Path, size: int) -> tuple[list[dict[str, Any]], str]:
    """Write one film and its lung mask; return its regions and the hash of its pixels."""
    from monai_kd.data.phantom.dicom import film_to_dicom  # pydicom takes a third of a second

    rendering = render_film(film, size)
    dicom = root / "dicom" / f"{film.name}.dcm"
    _write(dicom, film_to_dicom(film, rendering))
    png = io.BytesIO()
    Image.fromarray(rendering.lung_mask.astype(np.uint8) * 255).save(png, "PNG")
    _write(root / "lung_masks" / f"{film.name}.png", png.getvalue())
    return rendering.regions, stored_pixels_sha256(dicom)


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step, so that two processes may draw the same archive at once.

    Nothing is flushed to the disk here (600 files): ``datalist.json`` comes last.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
