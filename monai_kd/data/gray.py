# SPDX-License-Identifier: Apache-2.0
"""From stored values to gray: the DICOM gray scale pipeline as plain functions of arrays.

Order (DICOM PS3.4 N.2): modality (lookup table or rescale), then VOI (lookup table or window),
then polarity. Formulas: PS3.3 C.11.1 (modality) and C.11.2 (VOI).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "GrayRules", "LookupTable", "Window"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LookupTable:
    """A modality or VOI lookup table.

    Args:
        first: value that the first entry is for; smaller values take the first entry, values
            past the end the last.
        entries: ``(n,)``, what the values become.
        bits: the entries span ``[0, 2**bits - 1]``.
    """

    first: int
    entries: Floats
    bits: int

    @property
    def span(self) -> float:
        """The largest entry that ``bits`` allow."""
        return float(2**self.bits - 1)

    def __call__(self, values: Floats) -> Floats:
        """Return the entries for ``values``, any shape."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.intp)])

    def gray(self, values: Floats) -> Floats:
        """Return the entries for ``values`` as gray in [0, 1]."""
        return np.asarray(np.clip(self(values) / self.span, 0, 1))


@dataclass(frozen=True)
class Window:
    """A VOI window: which values become black, which white, and what lies between.

    Args:
        center: middle of the window, in modality values.
        width: its width, in modality values.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
    """

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def is_usable(self) -> bool:
        """Whether the window is wide enough for gray between black and white."""
        least = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}
        finite = np.isfinite(self.center) and np.isfinite(self.width)
        return bool(finite and self.width > least.get(self.function, np.inf))

    def gray(self, values: Floats) -> Floats:
        """Return gray in [0, 1] for modality ``values``, any shape."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return np.asarray(1 / (1 + np.exp(exponent)))
        exact = self.function == "LINEAR_EXACT"
        center, width = (self.center, self.width) if exact else (self.center - 0.5, self.width - 1)
        return np.asarray(np.clip((values - center) / width + 0.5, 0, 1))


@dataclass(frozen=True)
class GrayRules:
    """What a file says about the meaning of its stored values.

    Args:
        slope: modality value per stored value; negative turns the gray scale round.
        intercept: modality value of stored 0.
        modality: table in place of ``slope`` and ``intercept``, if the file has one.
        table: VOI lookup table, if the file has one.
        window: first VOI window, if the file has one.
        inverted: whether the smallest value is meant to be drawn white (MONOCHROME1).
        padding: first and last stored value that mean "outside the picture", if any.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality: LookupTable | None = None
    table: LookupTable | None = None
    window: Window | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None

    def rescale(self, stored: Floats) -> Floats:
        """Return modality values for ``stored`` values, any shape."""
        if self.modality is not None:
            return self.modality(stored)
        return stored * self.slope + self.intercept

    def rescaled_range(self, stored_range: tuple[float, float]) -> tuple[float, float]:
        """Return the smallest and largest modality value that can occur.

        Args:
            stored_range: smallest and largest value that can be stored.
        """
        if self.modality is not None:
            return 0.0, self.modality.span
        ends = self.rescale(np.array(stored_range, dtype=np.float64))
        return float(ends.min()), float(ends.max())

    def voi(self, name: str) -> Callable[[Floats], Floats] | None:
        """Return modality values -> gray by the file's ``lut`` or ``window``, None if unusable.

        Args:
            name: ``lut`` or ``window``.
        """
        if name == "lut":
            return self.table.gray if self.table is not None else None
        return self.window.gray if self.window is not None and self.window.is_usable else None

    def is_padding(self, stored: Floats) -> NDArray[np.bool_]:
        """Return where ``stored`` values mean "outside the picture"."""
        if self.padding is None:
            return np.zeros(stored.shape, dtype=np.bool_)
        return (stored >= self.padding[0]) & (stored <= self.padding[1])
