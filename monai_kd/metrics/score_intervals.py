# SPDX-License-Identifier: Apache-2.0
"""Scores with their intervals: of one model, of two on the same images, of one on two data sets.

How an interval is made of influences stands in :mod:`monai_kd.metrics.uncertainty`.

Source for two data sets: Satterthwaite, "An approximate distribution of estimates of variance
components", Biometrics Bulletin 2, 1946.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.limits import difference_interval
from monai_kd.metrics.parts import (
    Part,
    few_cases,
    few_patients,
    mean_of,
    parts_difference,
    parts_interval,
    reach,
)
from monai_kd.metrics.proportion import proportion_interval
from monai_kd.metrics.score_arrays import check_values
from monai_kd.metrics.scores import SCORES, right_and_known
from monai_kd.metrics.uncertainty import correction, patient_index, spread
from monai_kd.utils import check_choice

__all__ = ["known_images", "score_difference", "score_drop", "score_interval", "score_parts"]

PatientId = Sequence[object] | NDArray[Any] | None
Judged = tuple[ArrayLike, ArrayLike, PatientId]
"""Probabilities, labels, and patients of one data set."""


def score_interval(
    name: str,
    prob: ArrayLike,
    label: ArrayLike,
    *,
    activation: str,
    patient_id: PatientId = None,
    level: float = 0.95,
) -> Interval:
    """Return a score with its confidence interval.

    Args:
        name: one of :data:`SCORES`.
        prob: probabilities in [0, 1], ``(N, C)`` or ``(N,)``.
        label: 1, 0, or NaN for unknown, shape of ``prob``.
        activation: ``"softmax"`` or ``"sigmoid"``: how decisions are made, see :class:`Score`.
        patient_id: who each image belongs to, N of them; images of one patient then count
            together. None: every image is a patient.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Estimate and limits; all NaN when the labels cannot give the score, the limits alone when
        a class has one patient only. Accuracy has Wilson's interval, the others one that is
        symmetric on the logit scale, or wider where a class or a finding has no spread, see
        :mod:`monai_kd.metrics.parts`.

    Raises:
        ValueError: if there is no such score, shapes differ, a value is not a probability or
            label, or ``level`` is out of range.

    Example:
        >>> score_interval("accuracy", [0.9, 0.2, 0.6], [1, 0, 0], activation="sigmoid").estimate
        0.6666666666666666
    """
    probs, truth, who = known_images(name, (prob, label, patient_id), activation)
    if name == "accuracy":
        right, judged = right_and_known(probs, truth, activation == "softmax")
        group = None if (judged <= 1).all() and len(np.unique(who)) == len(who) else who
        return proportion_interval(right, judged, group=group, level=level)
    parts = score_parts(name, (probs, truth, who), activation, jackknife=True)
    return parts_interval(parts, who, level=level)


def score_difference(
    name: str,
    prob: ArrayLike,
    other_prob: ArrayLike,
    label: ArrayLike,
    *,
    activation: str,
    patient_id: PatientId = None,
    level: float = 0.95,
) -> Difference:
    """Return the score of ``prob`` minus that of ``other_prob`` on the same images.

    For a score that is better when it is lower (``SCORES[name].lower_is_better``, Brier), a gain
    is a negative difference: turn its sign before asking for the verdict.

    Args:
        name: one of :data:`SCORES`.
        prob: probabilities of the one model, ``(N, C)`` or ``(N,)``.
        other_prob: probabilities of the other, same shape, same order of images.
        label: 1, 0, or NaN for unknown, same shape.
        activation: see :func:`score_interval`.
        patient_id: see :func:`score_interval`.
        level: see :func:`score_interval`.

    Returns:
        Difference, limits within -1 and 1, and two-sided p-value; NaN where the labels cannot give
        them.

    Raises:
        ValueError: as :func:`score_interval`.
    """
    probs, truth, who = known_images(name, (prob, label, patient_id), activation)
    others, _, _ = known_images(name, (other_prob, label, patient_id), activation)
    few = few_patients(truth, who)
    ours = theirs = score_parts(name, (probs, truth, who), activation, jackknife=few)
    if not np.array_equal(probs, others):
        theirs = score_parts(name, (others, truth, who), activation, jackknife=few)
    found = parts_difference(ours, theirs, who, level=level)
    low, high = (min(max(limit, -1.0), 1.0) for limit in (found.low, found.high))  # NaN stays
    return found._replace(low=low, high=high)


def score_drop(
    name: str, internal: Judged, external: Judged, *, activation: str, level: float = 0.95
) -> Difference:
    """Return how much lower a score is on other patients than at home.

    Args:
        name: one of :data:`SCORES`.
        internal: probabilities, labels and patients (or None) at home, see
            :func:`score_interval`.
        external: the same elsewhere; no patient may be in both.
        activation: see :func:`score_interval`.
        level: see :func:`score_interval`.

    Returns:
        Internal minus external, limits (Welch), and two-sided p-value.

    Raises:
        ValueError: as :func:`score_interval`.
    """
    sides = []
    for judged in (internal, external):
        probs, truth, who = known_images(name, judged, activation)
        parts = score_parts(name, (probs, truth, who), activation, jackknife=True)
        value, influence = mean_of(parts, len(who))
        error, df = spread(influence, who)
        sides.append((value, error, few_cases(df, parts, who), reach(parts, who)))
    (home, home_error, home_df, at_home), (away, away_error, away_df, afar) = sides
    error = math.hypot(home_error, away_error)
    weight = home_error**4 / home_df + away_error**4 / away_df
    df = error**4 / weight if weight > 0 else min(home_df, away_df)

    def beyond(level: float) -> tuple[float, float]:
        (home_below, home_above), (away_below, away_above) = at_home(level), afar(level)
        return math.hypot(home_below, away_above), math.hypot(home_above, away_below)

    return difference_interval(home - away, error, df, reach=beyond, level=level)


def score_parts(
    name: str,
    known: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]],
    activation: str,
    *,
    jackknife: bool = False,
) -> list[Part]:
    """Return the parts that a score is the mean of.

    Args:
        name: one of :data:`SCORES`.
        known: from :func:`known_images`.
        activation: ``"softmax"`` or ``"sigmoid"``.
        jackknife: see :func:`.correction`.
    """
    probs, truth, who = known
    correct = correction(who, jackknife=jackknife)
    return SCORES[name].measure(probs, truth, activation == "softmax", correct)


def known_images(
    name: str, judged: Judged, activation: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Return the images with a label, ``(N, C)`` each, and the number of their patient from 0.

    Args:
        name: one of :data:`SCORES`.
        judged: probabilities, labels, and patients or None.
        activation: for softmax, an image with any unknown label is left out.

    Raises:
        ValueError: if there is no such score or activation, shapes differ, or a value is not a
            probability or label.
    """
    check_choice("score", "name", name, SCORES)
    check_choice("score", "activation", activation, ("softmax", "sigmoid"))
    probs, truth = (np.asarray(part, np.float64) for part in judged[:2])
    if probs.shape != truth.shape or probs.ndim not in {1, 2}:
        raise ValueError(
            f"score: `prob` and `label` must both be (N, C), got {probs.shape} and "
            f"{truth.shape}. Stack the batches along the images."
        )
    if probs.ndim == 1:
        probs, truth = probs[:, None], truth[:, None]
    who = patient_index(judged[2], len(probs))
    unknown = np.isnan(truth)
    known = ~(unknown.any(axis=1) if activation == "softmax" else unknown.all(axis=1))
    if not known.all():
        probs, truth = probs[known], truth[known]
        who = np.unique(who[known], return_inverse=True)[1]
    check_values("score", probs, truth)
    return probs, truth, who
