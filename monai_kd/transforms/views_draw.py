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
    views = len(recipes)
    uniform = random.random_sample((views, 2 * _ATTEMPTS + 8))
    area, aspect = uniform[:, :_ATTEMPTS], uniform[:, _ATTEMPTS : 2 * _ATTEMPTS]
    where, chances, angle, blur = np.split(uniform[:, 2 * _ATTEMPTS :], (2, 6, 7), axis=1)
    low, high, chance, degrees = np.array(
        [(*recipe.scale, recipe.chance, recipe.degrees) for recipe in recipes]
    ).T[..., None]
    out = np.empty((views, len(VIEW_PARAMETERS)), dtype=np.float32)
    out[:, 2:4] = _crops(size, low + (high - low) * area, aspect)
    out[:, 0:2] = np.floor(where * (size - out[:, 2:4] + 1))
    out[:, 4] = chances[:, 0] < flip
    out[:, 5:6] = np.deg2rad(degrees * (2 * angle - 1))
    out[:, 6:8] = chances[:, 1:3] < chance
    radius = _RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * blur
    out[:, 8:9] = np.where(chances[:, 3:4] < chance, radius, 0)
    return out


def _crops(size: int, area: NDArray[Any], aspect: NDArray[Any]) -> NDArray[Any]:
    """Return the width and height of each view's first crop that fits, ``(views, 2)``."""
    stretch = np.exp(_LOG_ASPECT * (aspect - 0.5))  # root of the aspect
    side = size * np.sqrt(area)
    widths, heights = np.rint(side * stretch), np.rint(side / stretch)
    fits = (widths <= size) & (heights <= size) & (widths >= 1) & (heights >= 1)
    first = fits.argmax(axis=1)
    rows = np.arange(len(area))
    chosen = np.stack([widths[rows, first], heights[rows, first]], axis=1)
    chosen[~fits[rows, first]] = size
    return chosen


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
