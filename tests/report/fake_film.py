# SPDX-License-Identifier: Apache-2.0
"""A film that looks a little like one, with a region and a heat map, in a millisecond."""

from __future__ import annotations

import numpy as np


def film(seed, size=96):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    lungs = sum(np.exp(-(((x - c) / 0.15) ** 2) - ((y - 0.5) / 0.3) ** 2) for c in (0.3, 0.7))
    ribs = 0.06 * np.sin(26 * y + 6 * (x - 0.5) ** 2)
    return np.clip(0.75 - 0.55 * lungs + ribs + rng.normal(0, 0.03, (size, size)), 0, 1)


def case(seed, *, aims=True):
    """Film, region and heat map; a map that ``aims`` has its peak in the region."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:96, 0:96]
    row, column = rng.integers(30, 66), int(rng.choice([29, 67]))
    region = (abs(y - row) < 9) & (abs(x - column) < 8)

    def blob(r, c, width):
        return np.exp(-((y - r) ** 2 + (x - c) ** 2) / width**2)

    beside = np.maximum(blob(50, 48, 30), 0.5 * blob(row, column, 12))
    map_ = blob(row + 3, column, 14) if aims else beside
    return np.clip(film(seed) + 0.3 * blob(row, column, 8), 0, 1), region, map_
