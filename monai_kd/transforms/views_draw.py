# SPDX-License-Identifier: Apache-2.0
"""What is drawn for each view of the published distl method, as one row of numbers per view.

Source: Park et al., "Self-evolving vision transformer for chest X-ray diagnosis through knowledge
distillation", Nature Communications 13:3848, 2022; ranges as in the published code. There a view
is mirrored with probability 0.5; our default is never, because a mirrored film has its heart and
its findings on the wrong side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOCAL", "NOISED", "VIEW_PARAMETERS", "ViewRecipe", "draw_views", "turn_matrix"]

VIEW_PARAMETERS = (
    "left",  # of the crop, in pixels of the film
    "top",
    "width",
    "height",
    "flip",  # 0 or 1: mirror left and right
    "radians",  # rotation, counterclockwise as seen on the screen
    "autocontrast",  # 0 or 1
    "equalize",  # 0 or 1
    "radius",  # standard deviation of the blur in pixels of the view; 0 does not blur
)
_ATTEMPTS = 10  # crops tried before the whole film is taken
_LOG_ASPECT = math.log(4 / 3)
_RADIUS = (0.1, 2.0)


@dataclass(frozen=True)
class ViewRecipe:
    """What one kind of view may look like.

    Args:
        scale: range of the crop's share of the film's area, in (0, 1].
        chance: probability of autocontrast, of equalization and of blur, each for itself.
        degrees: largest rotation in either direction.
    """

    scale: tuple[float, float]
    chance: float
    degrees: float = 15.0


NOISED = ViewRecipe(scale=(0.75, 1.0), chance=0.3)
LOCAL = ViewRecipe(scale=(0.2, 0.6), chance=0.5)


def draw_views(
    random: np.random.RandomState, size: int, recipes: tuple[ViewRecipe, ...], *, flip: float = 0.0
) -> NDArray[np.float32]:
    """Draw the numbers of one film's views; what is drawn for one view depends on no other.

    A crop has an area drawn from its range and a width of 3/4 to 4/3 of its height (drawn on a
    logarithmic scale); up to ten are drawn until one fits, else the whole film is taken.

    Args:
        random: source of the numbers; the same amount is taken whatever comes out.
        size: side of the film in pixels.
        recipes: one per view.
        flip: probability of mirroring, in [0, 1].

    Returns:
        One row per recipe, columns as in :data:`VIEW_PARAMETERS`, ``(views, 9)``.
    """
    low, extent, chance, turn = _ranges(recipes)
    uniform = random.random_sample((len(recipes), 2 * _ATTEMPTS + 8))
    area, aspect = uniform[:, :_ATTEMPTS], uniform[:, _ATTEMPTS : 2 * _ATTEMPTS]
    rest = uniform[:, 2 * _ATTEMPTS :]
    out = np.empty((len(recipes), len(VIEW_PARAMETERS)), dtype=np.float32)
    out[:, 2:4] = crop = _crops(size, low + extent * area, aspect)
    out[:, 0:2] = np.floor(rest[:, 0:2] * (size + 1 - crop))
    out[:, 4] = rest[:, 2] < flip
    out[:, 5:6] = turn * (2 * rest[:, 3:4] - 1)
    out[:, 6:9] = rest[:, 4:7] < chance
    out[:, 8] *= _RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * rest[:, 7]
    return out


@lru_cache
def _ranges(recipes: tuple[ViewRecipe, ...]) -> tuple[NDArray[np.float64], ...]:
    """Return smallest area, range of areas, chance and largest turn, each ``(views, 1)``."""
    rows = [
        (low, high - low, recipe.chance, math.radians(recipe.degrees))
        for recipe in recipes
        for low, high in [recipe.scale]
    ]
    return tuple(np.array(column)[:, None] for column in zip(*rows, strict=True))


def _crops(size: int, area: NDArray[Any], aspect: NDArray[Any]) -> NDArray[Any]:
    """Return the width and height of each view's first crop that fits, ``(views, 2)``."""
    stretch = np.exp(_LOG_ASPECT * (aspect - 0.5))  # root of the aspect
    side = size * np.sqrt(area)
    tried = np.rint(np.stack([side * stretch, side / stretch], axis=-1))
    fits = (tried.max(-1) <= size) & (tried.min(-1) >= 1)
    first = fits.argmax(axis=1)
    rows = np.arange(len(area))
    return np.where(fits[rows, first, None], tried[rows, first], size)


def turn_matrix(flip: float, radians: float, size: int) -> NDArray[np.float64]:
    """Return where the pixels of a mirrored and then rotated view come from.

    Args:
        flip: 0 or 1: mirror left and right.
        radians: rotation about the middle, counterclockwise as seen on the screen.
        size: side of the view in pixels.

    Returns:
        ``(2, 3)``; takes column and row of a pixel, and 1, to the column and row before both.

    Example:
        >>> turn_matrix(1.0, 0.0, 4) @ (0, 2, 1)
        array([3., 2.])
    """
    mirror, middle = 1 - 2 * flip, (size - 1) / 2
    cos, sin = math.cos(radians), math.sin(radians)
    offset_x = middle * (1 - mirror * (cos - sin))
    offset_y = middle * (1 - sin - cos)
    return np.array([[mirror * cos, -mirror * sin, offset_x], [sin, cos, offset_y]])
