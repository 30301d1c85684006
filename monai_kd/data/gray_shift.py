# SPDX-License-Identifier: Apache-2.0
"""Do films look like those a model learned from, or are they inverted, or badly windowed?

The limits are ours, chosen on real films of three hospitals and two body parts. Nearly no good
chest film of another site agrees with the negative of the training's mean film (0 to 1%, also after
a wrong gamma), and nearly all inverted ones do (99 to 100%; 93% of limbs). Up to 20% of good films
lie outside the gray range of another site's training; after a wrong gamma, window or bit depth more
than a quarter do, in 68 of 72 sets of films. A model trained on films of little contrast does not
notice that contrast is lost. A histogram alone cannot tell a negative: a chest film's is as
near to its mirror image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_kd.data.gray_histogram import (
    GrayHistogram,
    PreparedFilms,
    film_looks,
    gray_distance,
    layout_agreement,
)

__all__ = ["GrayShift", "gray_hints", "gray_shift"]

_FEW = 10  # training films; fewer do not tell their own spread
_MOSTLY = 2 / 3  # share of negatives that says: the whole site is inverted
_SOME = 0.1  # share of negatives, beyond the training's own, that says: some films are
_FAR = 0.25  # share of films outside the training's spread; 0.05 of its own are


@dataclass(frozen=True)
class GrayShift:
    """How films look, seen from the training.

    Args:
        films: how many were looked at.
        distance: :func:`gray_distance` of their mean histogram to the training's.
        inverted_distance: the same after turning their gray round.
        negatives: share of films that agree with the negative of the training's mean film.
        far: share of films further from the training's histogram than its ``limit`` (of
            the films turned round when most are negatives), or with less than half the contrast
            that 95% of its films have.
        gray: mean gray, in [0, 1].
        contrast: mean standard deviation of gray within a film.
    """

    films: int
    distance: float
    inverted_distance: float
    negatives: float
    far: float
    gray: float
    contrast: float


def gray_shift(items: PreparedFilms, training: GrayHistogram, *, films: int = 1000) -> GrayShift:
    """Hold films against those of a training.

    Args:
        items: prepared films, not normalized.
        training: what :func:`film_histogram` returned of the films of the training.
        films: at most so many are measured, evenly spaced over ``items``.

    Raises:
        MonaiKDError: if there is no film, or gray is outside [0, 1].
    """
    looks = film_looks(items, films=films)
    home = np.array(training.histogram)
    negative = layout_agreement(looks.layout, training.layout) < 0
    turned = looks.histogram[:, ::-1]
    seen = turned if negative.mean() > _MOSTLY else looks.histogram
    levels = (np.arange(len(home)) + 0.5) / len(home)
    gray = looks.histogram @ levels
    spread = np.sqrt(np.maximum(looks.histogram @ levels**2 - gray**2, 0))
    return GrayShift(
        films=len(gray),
        distance=float(gray_distance(looks.histogram.mean(0), home)),
        inverted_distance=float(gray_distance(turned.mean(0), home)),
        negatives=float(negative.mean()),
        far=_share_far(gray_distance(seen, home), spread, training),
        gray=float(gray.mean()),
        contrast=float(spread.mean()),
    )


def gray_hints(shift: GrayShift, training: GrayHistogram) -> list[str]:
    """Say in sentences what may be wrong with the films; an empty list when they look right.

    A share counts only where its 95% interval (Wilson) lies above the limit, so that a few odd
    films among few are not yet a hint.

    Args:
        shift: how the films look.
        training: the films of the training; fewer than ten give no hint.
    """
    if training.films < _FEW:
        return []
    hints = []
    if _at_least(shift.negatives, shift.films) > max(_MOSTLY, training.negatives):
        hints.append(
            f"{shift.negatives:.0%} of {shift.films} films look like negatives of the training "
            f"films, of which {training.negatives:.0%} do: the gray scale is inverted. Check "
            "MONOCHROME1 and inverted exports."
        )
    elif _at_least(shift.negatives, shift.films) > training.negatives + _SOME:
        hints.append(
            f"{shift.negatives:.0%} of {shift.films} films look like negatives of the training "
            f"films, of which {training.negatives:.0%} do: some are inverted, or they show another "
            "body part or view. Look at some of them."
        )
    if _at_least(shift.far, shift.films) > _FAR:
        hints.append(
            f"The gray levels of {shift.far:.0%} of {shift.films} films lie outside the range of "
            f"the training films, of which about 5% do (mean gray {shift.gray:.2f}, in training "
            f"{training.gray[2]:.2f}; contrast {shift.contrast:.2f}, in training "
            f"{training.contrast[2]:.2f}): check window, gamma and bit depth."
        )
    return hints


def _share_far(
    distance: NDArray[np.float64], contrast: NDArray[np.float64], training: GrayHistogram
) -> float:
    limit = training.limit
    if math.isnan(limit):  # a single film
        return math.nan
    return float(np.mean((distance > limit) | (contrast < training.contrast[0] / 2)))


def _at_least(share: float, count: int) -> float:
    """Lower end of Wilson's 95% interval of a share; NaN stays NaN."""
    z = 1.96
    center = share + z**2 / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return (center - half) / (1 + z**2 / count)
