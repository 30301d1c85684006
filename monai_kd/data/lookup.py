# SPDX-License-Identifier: Apache-2.0
"""A decoded picture, and its way to gray in [0, 1] through one lookup table and one gather.

For up to 16 bits the whole pipeline (unused bits, sign, modality, VOI, polarity, padding) runs
once over the at most 65536 words that can be stored; each pixel then costs one look into a table
that fits into the cache of a core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.data.gray import Floats, GrayRules
from monai_kd.utils import MonaiKDError

__all__ = [
    "RADIOGRAPH_POLICIES",
    "RadiographError",
    "Rendering",
    "StoredPicture",
    "Words",
    "render",
]

Words = NDArray[Any]  # integers or floats of any width

RADIOGRAPH_POLICIES = ("auto", "window", "lut", "percentile", "none")
PERCENTILES = (0.5, 99.5)
SAMPLE_PIXELS = 2**16  # percentiles are exact up to 256 x 256, from an even grid of pixels above
BLOCK_PIXELS = 2**18  # one gather's indices stay in the cache of a core


class RadiographError(MonaiKDError):
    """A file that is not a readable radiograph; the message says why, never which file."""


@dataclass(frozen=True)
class StoredPicture:
    """Pixels as a file stores them, and what they mean.

    Args:
        words: ``(H, W)``, contiguous: unsigned 8 or 16 bit words, or wider integers or floats.
        bits: bits of a word that hold the value; 0 when the words are the values themselves.
        shift: position of the value's lowest bit in a word.
        signed: whether the value is a two's complement number.
        rules: how values become gray.
        spacing: ``(row, column)`` distance of pixel centers in mm, or None.
        tags: what may be told about the picture without telling whose it is.
    """

    words: Words
    bits: int = 0
    shift: int = 0
    signed: bool = False
    rules: GrayRules = field(default_factory=GrayRules)
    spacing: tuple[float, float] | None = None
    tags: dict[str, str | float] = field(default_factory=dict)

    @property
    def stored_range(self) -> tuple[float, float]:
        """Smallest and largest value that can be stored; of floats, that is stored."""
        if not self.bits:
            finite = self.words[np.isfinite(self.words.astype(np.float64))]
            return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        half = 2 ** (self.bits - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)

    def values_of(self, words: Words) -> Words:
        """Return the stored values in ``words``, any shape, without unused bits, with sign."""
        if not self.bits:
            return words
        values: Words = (words.astype(np.int32) >> self.shift) & (2**self.bits - 1)
        return values - ((values >> (self.bits - 1)) << self.bits) if self.signed else values


@dataclass(frozen=True)
class Rendering:
    """Gray, and how it was made.

    Args:
        pixels: ``(H, W)`` float32 in [0, 1], air dark, bone bright.
        voi: what was used: ``lut``, ``window``, ``percentile`` or ``none`` (the full range).
        ignored: what ``auto`` found in the file and left aside, because it shows nothing.
    """

    pixels: NDArray[np.float32]
    voi: str
    ignored: str = ""


def render(picture: StoredPicture, policy: str) -> Rendering:
    """Turn stored words into gray.

    Args:
        picture: decoded picture.
        policy: one of ``RADIOGRAPH_POLICIES``.

    Raises:
        RadiographError: if ``policy`` asks for a table or a window that the file does not have.
    """
    step = max(1, int(np.ceil(np.sqrt(picture.words.size / SAMPLE_PIXELS))))
    seen = _rescaled(picture, picture.words[::step, ::step])
    voi, ignored = _choose(picture, seen) if policy == "auto" else (policy, "")
    to_gray = _gray_function(picture, voi, seen)

    def whole_chain(words: Words) -> NDArray[np.float32]:
        values = picture.values_of(words).astype(np.float64)
        gray = to_gray(picture.rules.rescale(np.nan_to_num(values)))
        gray[picture.rules.is_padding(values) | ~np.isfinite(values)] = 0
        return gray.astype(np.float32)

    return Rendering(_map_words(picture, whole_chain), voi, ignored)


def _map_words(
    picture: StoredPicture, chain: Callable[[Words], NDArray[np.float32]]
) -> NDArray[np.float32]:
    words = picture.words
    if not picture.bits:
        return chain(words)
    table = chain(np.arange(int(words.max()) + 1, dtype=words.dtype))
    flat, out = words.reshape(-1), np.empty(words.size, dtype=np.float32)
    for start in range(0, words.size, BLOCK_PIXELS):
        block = slice(start, start + BLOCK_PIXELS)
        np.take(table, flat[block], out=out[block], mode="wrap")  # the cheapest; none is outside
    return out.reshape(words.shape)


def _choose(picture: StoredPicture, seen: Floats) -> tuple[str, str]:
    """Return what ``auto`` uses, and what it leaves aside."""
    rules = picture.rules
    ignored: list[str] = []
    for voi, found in (("lut", rules.table), ("window", rules.window)):
        if found is None:
            continue
        to_gray = rules.voi(voi)
        if to_gray is not None and _spread(to_gray(seen)):
            return voi, ", ".join(ignored)
        ignored.append(voi)
    ready_to_show = 0 < picture.bits <= 8 and rules.modality is None and not ignored
    return ("none" if ready_to_show else "percentile"), ", ".join(ignored)


def _gray_function(picture: StoredPicture, voi: str, seen: Floats) -> Callable[[Floats], Floats]:
    """Return modality values -> gray, polarity included."""
    if voi in ("lut", "window"):
        shown = picture.rules.voi(voi)
        if shown is None:
            raise RadiographError(
                f"read_radiograph: `policy` {voi} needs a file with a usable VOI {voi}, this one "
                "has none. Use `policy` auto, which falls back."
            )
    elif voi == "percentile":
        shown = _linear(*_percentile_ends(picture, seen))
    else:
        shown = _linear(*picture.rules.rescaled_range(picture.stored_range))
    if shown is None:  # one value everywhere: nothing to show, whatever the polarity
        return np.zeros_like
    gray = shown
    return (lambda values: 1 - gray(values)) if picture.rules.inverted else gray


def _linear(low: float, high: float) -> Callable[[Floats], Floats] | None:
    if high <= low:
        return None
    return lambda values: np.clip((values - low) / (high - low), 0, 1)


def _percentile_ends(picture: StoredPicture, seen: Floats) -> tuple[float, float]:
    if _spread(seen):
        low, high = np.percentile(seen, PERCENTILES)
        return float(low), float(high)
    everything = _rescaled(picture, picture.words)  # but for a few pixels all are alike: keep them
    return (float(everything.min()), float(everything.max())) if everything.size else (0.0, 0.0)


def _rescaled(picture: StoredPicture, words: Words) -> Floats:
    """Return the modality values of the pixels that are inside the picture, in one row."""
    if picture.bits and picture.rules.padding is None and words.size:  # all of them are inside
        kinds = np.arange(int(words.max()) + 1, dtype=words.dtype)
        return picture.rules.rescale(picture.values_of(kinds).astype(np.float64))[words.reshape(-1)]
    stored = picture.values_of(words).astype(np.float64)
    return picture.rules.rescale(stored[np.isfinite(stored) & ~picture.rules.is_padding(stored)])


def _spread(values: Floats) -> bool:
    """Whether more than a stray pixel differs from the rest."""
    if not values.size:
        return False
    above = np.count_nonzero(values > (values.min() + values.max()) / 2)
    stray = values.size * PERCENTILES[0] / 100 + 1
    if stray < above < values.size - stray:  # the usual case; spares the sorting
        return True
    low, high = np.percentile(values, PERCENTILES)
    return bool(high > low)
