# SPDX-License-Identifier: Apache-2.0
"""The X-ray rooms of the phantom: from attenuation to what each of them stores in its files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from monai_kd.data.phantom.geometry import Array, wide_blur

__all__ = ["SITES", "Scanner", "Stored", "develop", "store"]


@dataclass(frozen=True)
class Scanner:
    """How films of one site look.

    Args:
        modality: ``"DX"`` or ``"CR"``.
        contrast: steepness of the gray scale.
        flatten: share of the coarse gray levels that is taken out (dynamic range compression).
        sharpen: edge enhancement; 0 leaves the film as it is.
        blur: width of the detector's blur in pixels at 256 rows.
        noise: relative noise.
        collimated: share of films with black borders.
        portable: share of films taken in bed (AP).
    """

    modality: str
    contrast: float
    flatten: float
    sharpen: float
    blur: float
    noise: float
    collimated: float
    portable: float


SITES = {
    "north": Scanner("DX", 2.5, 0.45, 0.7, 0.35, 0.010, 0.25, 0.1),
    "south": Scanner("CR", 2.1, 0.30, 0.25, 0.6, 0.018, 0.6, 0.25),
    "harbor": Scanner("CR", 1.9, 0.35, 0.4, 0.5, 0.022, 0.45, 0.75),
}
"""The three sites by name."""


@dataclass(frozen=True)
class Stored:
    """Pixels as stored, with what a viewer needs to show them.

    Args:
        pixels: ``(size, size)``, uint16, 12 bits used.
        photometric: ``"MONOCHROME1"`` or ``"MONOCHROME2"``.
        window: center and width, in rescaled values, or None.
        voi_lut: 4096 entries of 16 bits, or None.
        slope: of the modality rescale.
        intercept: of the modality rescale.
    """

    pixels: Array
    photometric: str
    window: tuple[float, float] | None
    voi_lut: Array | None
    slope: float
    intercept: float


def develop(
    rng: np.random.Generator, scanner: Scanner, attenuation: Array, reference: Array, body: Array
) -> Array:
    """Return the film, ``(size, size)``, 0 (black) to 1 (white).

    Args:
        rng: the film's source.
        scanner: the room.
        attenuation: along the beam, as it is.
        reference: the same without findings: the automatic exposure looks at this one, so that a
            finding changes the film only where it lies.
        body: 0 to 1, where the patient is.
    """
    size = attenuation.shape[0]
    level = wide_blur(reference, 0.09 * size)
    inner = body > 0.99
    low, middle = np.quantile(reference[inner][::7], [0.12, 0.6])
    center = 0.45 * low + 0.55 * middle + rng.normal(0, 0.10)
    contrast = scanner.contrast * np.exp(rng.normal(0, 0.12)) / (middle - low + 0.5)
    flatten = np.clip(scanner.flatten + rng.normal(0, 0.08), 0.05, 0.7)
    film = attenuation - flatten * (level - center)
    grain = rng.standard_normal((size, size), dtype=np.float32)
    noise = scanner.noise * np.exp(rng.normal(0, 0.25)) * np.exp(np.clip(attenuation, 0, 3) * 0.6)
    film = film + grain * noise * (256 / size) ** -0.5
    film = gaussian_filter(film, max(scanner.blur + rng.normal(0, 0.1), 0.1) * size / 256)
    smooth = gaussian_filter(film, 2.5 * size / 256)
    film = film + (scanner.sharpen + rng.normal(0, 0.1)) * (film - smooth)
    developed: Array = 1 / (1 + np.exp(-contrast * 1.6 * (film - center)))
    return developed * (0.25 + 0.75 * np.clip(body * 1.5, 0, 1))


def store(rng: np.random.Generator, film: Array, modality: str) -> Stored:
    """Choose one of the ways archives store a film, and store it.

    Args:
        rng: the film's source.
        film: ``(size, size)``, 0 (black) to 1 (white).
        modality: only ``"CR"`` may have a slope and an intercept; DX has 1 and 0 by definition.
    """
    inverted = rng.random() < 0.35
    way = rng.choice(["window", "rescaled", "lut", "bare"], p=[0.5, 0.2, 0.15, 0.15])
    low, high = rng.uniform(100, 500), rng.uniform(3300, 3950)
    shown = 1 - film if inverted else film
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    window: tuple[float, float] | None = None
    lut = None
    slope, intercept = 1.0, 0.0
    if way == "lut":
        bend = rng.uniform(0.7, 1.4)
        lut = np.round(65535 * np.linspace(0, 1, 4096) ** bend).astype(np.uint16)
        values = 4095 * shown ** (1 / bend)
    else:
        values = low + (high - low) * shown
    if way == "rescaled" and modality == "CR":
        slope, intercept = float(rng.choice([0.5, 1.0, 2.0])), float(rng.choice([-1024, -100, 50]))
    if way in ("window", "rescaled"):
        width = (high - low) * rng.uniform(0.95, 1.1)
        middle = (low + high) / 2 + rng.normal(0, 40)
        window = (round(middle * slope + intercept, 1), round(width * slope, 1))
    pixels = np.clip(np.round(values), 0, 4095).astype(np.uint16)
    return Stored(pixels, photometric, window, lut, slope, intercept)
