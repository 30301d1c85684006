# SPDX-License-Identifier: Apache-2.0
"""A model remembers how the films it learned from looked: their gray levels, and what is where.

Kept are means over films and quantiles: nothing of one film, no id. The distance of two histograms
is the earth mover's (Rubner, Tomasi, Guibas, "The Earth Mover's Distance as a metric for image
retrieval", IJCV 40, 2000): how far gray must be moved on average. On a line it is the area between
the cumulated histograms. To keep an 8 x 8 mean film beside the histogram is ours: on chest films a
histogram and its mirror image are nearly the same, a film and its negative are not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.utils import MonaiKDError, write_text_atomically

__all__ = [
    "FilmLooks",
    "GrayHistogram",
    "film_histogram",
    "film_looks",
    "gray_distance",
    "layout_agreement",
    "read_film_histogram",
    "write_film_histogram",
]

_NAME = "gray_histogram.json"
_BINS = 64
_SIDE = 8  # of the mean film
_MARGIN = 2 / 255  # so near to black or white is a frame, not a film
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

FloatArray = NDArray[np.float64]


class PreparedFilms(Protocol):
    """Films with ``image``, ``(1, H, W)`` in [0, 1], by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class FilmLooks:
    """What was measured of each of N films.

    Args:
        histogram: share of the pixels by gray level, ``(N, 64)``, black first.
        layout: mean gray of 8 x 8 parts, ``(N, 64)``, row by row.
    """

    histogram: FloatArray
    layout: FloatArray


@dataclass(frozen=True)
class GrayHistogram:
    """How the films of a training look.

    Args:
        films: how many were measured.
        histogram: mean histogram, 64 shares, black first.
        layout: mean film, 64 gray values of 8 x 8 parts, row by row.
        distance: 5, 25, 50, 75, 95% quantiles of the :func:`gray_distance` of a film to the mean
            of the others; NaN for a single film.
        limit: distance that 95% of such films do not pass, the upper end of its one-sided 95%
            interval: few films do not tell their spread well; below 50 it is the largest distance.
        gray: the same quantiles of the films' mean gray.
        contrast: the same quantiles of the standard deviation of gray within a film.
        negatives: share of films that agree with the negative of the other films' mean better than
            with that mean itself.
    """

    films: int
    histogram: list[float]
    layout: list[float]
    distance: list[float]
    limit: float
    gray: list[float]
    contrast: list[float]
    negatives: float


def film_looks(items: PreparedFilms, *, films: int = 1000) -> FilmLooks:
    """Measure films, without the black or white frame that padding and collimation leave.

    Args:
        items: prepared films, not normalized.
        films: at most so many are measured, evenly spaced over ``items``.

    Raises:
        MonaiKDError: if there is no film, or gray is outside [0, 1].
    """
    if not len(items):
        raise MonaiKDError(
            "film_looks: `items` must hold at least one film, got none. Is a section of the "
            "datalist empty?"
        )
    chosen = np.unique(np.linspace(0, len(items) - 1, films).round().astype(int))
    measured = [_look(np.asarray(items[int(number)]["image"])[0]) for number in chosen]
    return FilmLooks(*(np.array(part) for part in zip(*measured, strict=True)))


def film_histogram(items: PreparedFilms, *, films: int = 1000) -> GrayHistogram:
    """Return how the films of a training look.

    Args:
        items: see :func:`film_looks`.
        films: see :func:`film_looks`.

    Raises:
        MonaiKDError: see :func:`film_looks`.
    """
    looks = film_looks(items, films=films)
    histogram, layout = looks.histogram.mean(0), looks.layout.mean(0)
    levels = (np.arange(_BINS) + 0.5) / _BINS
    gray = looks.histogram @ levels
    contrast = np.sqrt(np.maximum(looks.histogram @ levels**2 - gray**2, 0))
    distance = gray_distance(looks.histogram, _of_the_others(looks.histogram))
    agreement = layout_agreement(looks.layout, _of_the_others(looks.layout))
    return GrayHistogram(
        films=len(gray),
        histogram=histogram.tolist(),
        layout=layout.tolist(),
        distance=np.quantile(distance, _QUANTILES).tolist(),
        limit=float(
            np.quantile(distance, min(1.0, 0.95 + 1.645 * (0.95 * 0.05 / len(gray)) ** 0.5))
        ),
        gray=np.quantile(gray, _QUANTILES).tolist(),
        contrast=np.quantile(contrast, _QUANTILES).tolist(),
        negatives=float(np.mean(agreement < 0)),
    )


def write_film_histogram(items: PreparedFilms, folder: str | os.PathLike[str]) -> None:
    """Write ``gray_histogram.json`` into a run directory.

    Args:
        items: the films that are trained on, see :func:`film_looks`.
        folder: the run directory.

    Raises:
        MonaiKDError: see :func:`film_looks`.
    """
    content = json.dumps(asdict(film_histogram(items)))
    write_text_atomically(Path(folder) / _NAME, content.replace("NaN", "null") + "\n")


def read_film_histogram(folder: str | os.PathLike[str]) -> GrayHistogram | None:
    """Return what :func:`write_film_histogram` wrote, or None when there is no such file.

    Args:
        folder: the run directory.

    Raises:
        MonaiKDError: if the file is damaged.
    """
    path = Path(folder) / _NAME
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8").replace("null", "NaN"))
        memory = GrayHistogram(**content)
        lengths = [len(part) for part in (memory.histogram, memory.layout, memory.distance)]
    except (TypeError, ValueError):
        lengths = []
    if lengths != [_BINS, _SIDE**2, len(_QUANTILES)]:
        raise MonaiKDError(
            f"read_film_histogram: {_NAME} in the run directory must be what a training wrote, got "
            "something else. Restore the file, or delete it to go without hints."
        )
    return memory


def gray_distance(histogram: ArrayLike, other: ArrayLike) -> FloatArray:
    """Return how far gray must be moved to turn one histogram into another, in [0, 1].

    Args:
        histogram: shares by gray level, ``(..., n)``, adding up to 1.
        other: likewise; shapes broadcast.

    Example:
        >>> float(gray_distance([1, 0, 0, 0], [0, 0, 1, 0]))
        0.5
    """
    one, two = np.asarray(histogram, np.float64), np.asarray(other, np.float64)
    gap = np.abs(np.cumsum(one - two, axis=-1)).sum(-1)
    return np.asarray(gap / one.shape[-1], np.float64)


def layout_agreement(layout: ArrayLike, other: ArrayLike) -> FloatArray:
    """Return the correlation of layouts; a film and its negative have opposite signs.

    Brightness and contrast do not change it. A film without any difference gives 0.

    Args:
        layout: gray of the parts, ``(..., n)``.
        other: likewise; shapes broadcast.

    Returns:
        Correlations, in [-1, 1].
    """
    one, two = (np.asarray(values, np.float64) for values in (layout, other))
    one = one - one.mean(-1, keepdims=True)
    two = two - two.mean(-1, keepdims=True)
    size = np.sqrt((one**2).sum(-1) * (two**2).sum(-1))
    return np.asarray((one * two).sum(-1) / np.where(size > 0, size, 1), np.float64)


def _look(image: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    if not (np.min(image) >= 0 and np.max(image) <= 1):
        raise MonaiKDError(
            "film_looks: `items` must hold gray in [0, 1], got other values. Give the prepared "
            "films before they are normalized, as CachedDataset.prepared_items() has them."
        )
    film = _without_frame(image.astype(np.float64))
    level = np.minimum((film * _BINS).astype(np.intp), _BINS - 1)
    histogram = np.bincount(level.ravel(), minlength=_BINS) / film.size
    return histogram, _part_means(film).ravel()


def _without_frame(image: FloatArray) -> FloatArray:
    """Cut off the outer rows and columns that are all black or white; a blank film stays whole."""
    drawn = (image > _MARGIN) & (image < 1 - _MARGIN)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if not len(rows):
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _part_means(film: FloatArray) -> FloatArray:
    for axis in (0, 1):
        edges = np.linspace(0, film.shape[axis], _SIDE + 1).astype(np.intp)
        count = np.maximum(np.diff(edges), 1).reshape((-1, 1) if axis == 0 else (1, -1))
        film = np.add.reduceat(film, edges[:-1], axis=axis) / count
    return film


def _of_the_others(values: FloatArray) -> FloatArray:
    """For each film the mean of all others, NaN when there are none."""
    others = len(values) - 1
    if not others:
        return np.full_like(values, np.nan)
    return np.asarray((values.sum(0) - values) / others, np.float64)
