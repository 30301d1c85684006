# SPDX-License-Identifier: Apache-2.0
r"""Methods trained with several seeds: what another seed and other patients would change.

Seeds are to a method what readers are to an imaging modality: each judges the same patients. So the
analysis of reader studies holds. With the gains :math:`d_s` of :math:`S` seeds, their variance
:math:`s^2`, and their covariance :math:`c` over patients (what patients do to all seeds alike),

.. math::
    \operatorname{Var}(\bar d) = s^2 / S + c, \qquad
    c = \frac{S \operatorname{Var}_p(\bar d) - \overline{\operatorname{Var}_p(d_s)}}{S - 1}

where :math:`\operatorname{Var}_p` is the variance over patients with the seeds as they are. The
sum cannot be less than :math:`\operatorname{Var}_p(\bar d)`; where few seeds lie so close together
by luck that it is, that is taken.

Sources: Obuchowski and Rockette, "Hypothesis testing of diagnostic accuracy for multiple readers
and multiple tests", Communications in Statistics 24, 1995; Hillis, "A comparison of denominator
degrees of freedom methods for multiple observer ROC analysis", Statistics in Medicine 26, 2007
(degrees of freedom). Covariances from influences, and the degrees of freedom of :math:`c`, which
Hillis takes as known, and the floor are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.interval import Difference, Interval
from monai_kd.metrics.limits import difference_interval, mover
from monai_kd.metrics.parts import Part, difference_reach, few_patients, mean_of, reach
from monai_kd.metrics.score_intervals import (
    known_images,
    score_difference,
    score_interval,
    score_parts,
)
from monai_kd.metrics.uncertainty import (
    NO_ERROR,
    Reach,
    logit_interval,
    spread,
    student_p,
    student_quantile,
)

__all__ = ["SeedsDifference", "SeedsSummary", "seeds_difference", "seeds_summary"]

FloatArray = NDArray[np.float64]


class SeedsDifference(NamedTuple):
    """The gain of one method over another, each trained with several seeds.

    Args:
        gains: one per seed, ``(S,)``.
        mean: of the gains.
        sd: of the gains; NaN for one seed.
        seeds: over seeds alone, these patients taken as all there are (Student's t).
        both: over seeds and patients: what another seed would gain on other patients.
    """

    gains: FloatArray
    mean: float
    sd: float
    seeds: Difference
    both: Difference


class SeedsSummary(NamedTuple):
    """A score of one method that was trained with several seeds.

    Args:
        values: one per seed, ``(S,)``.
        mean: of the values.
        sd: of the values; NaN for one seed.
        seeds: over seeds alone (Student's t, on the logit scale).
        both: over seeds and patients.
    """

    values: FloatArray
    mean: float
    sd: float
    seeds: Interval
    both: Interval


def seeds_difference(
    name: str,
    probs: ArrayLike,
    other_probs: ArrayLike,
    label: ArrayLike,
    *,
    activation: str,
    patient_id: Sequence[object] | NDArray[Any] | None = None,
    level: float = 0.95,
) -> SeedsDifference:
    """Return how much better one method is than another, over seeds and over patients.

    Args:
        name: one of :data:`SCORES`.
        probs: probabilities of the one method, ``(S, N, C)``, one table per seed.
        other_probs: those of the other, same shape; seed by seed if seeds are paired.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        activation: ``"softmax"`` or ``"sigmoid"``, see :class:`Score`.
        patient_id: who each image belongs to, or None.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Gains, mean, spread, and both intervals; with one seed, ``both`` is over patients alone.

    Raises:
        ValueError: if the shapes do not fit together, or as :func:`score_difference`.
    """
    ours, theirs = _tables(probs), _tables(other_probs)
    if ours.shape != theirs.shape:
        raise ValueError(
            "seeds_difference: `probs` and `other_probs` must have the same shape, (S, N, C), got "
            f"{ours.shape} and {theirs.shape}. Give as many seeds of the one as of the other."
        )
    one = _measured(name, ours, (label, patient_id), activation=activation)
    two = _measured(name, theirs, (label, patient_id), activation=activation)
    gains = one.values - two.values
    mean, sd = float(gains.mean()), _sd(gains)
    error, df = sd / math.sqrt(len(gains)), max(len(gains) - 1.0, 1.0)
    seeds = Difference(mean, *_around(mean, error, df=df, level=level), student_p(mean, error, df))
    if len(gains) == 1:
        both = score_difference(
            name,
            ours[0],
            theirs[0],
            label,
            activation=activation,
            patient_id=patient_id,
            level=level,
        )
    else:
        error, df = _both(gains, one.influence - two.influence, one.patient)
        beyond = _mean_reach(
            [
                difference_reach(a, b, one.patient)
                for a, b, p, q in zip(one.parts, two.parts, ours, theirs, strict=True)
                if not np.array_equal(p, q)
            ],
            len(gains),
        )
        both = difference_interval(mean, error, df, reach=beyond, level=level)
    return SeedsDifference(gains, mean, sd, seeds, both)


def seeds_summary(
    name: str,
    probs: ArrayLike,
    label: ArrayLike,
    *,
    activation: str,
    patient_id: Sequence[object] | NDArray[Any] | None = None,
    level: float = 0.95,
) -> SeedsSummary:
    """Return a score of one method, over its seeds and over patients.

    Args:
        name: one of :data:`SCORES`.
        probs: probabilities, ``(S, N, C)``, one table per seed.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        activation: ``"softmax"`` or ``"sigmoid"``, see :class:`Score`.
        patient_id: who each image belongs to, or None.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Values, mean, spread, and both intervals; with one seed, ``both`` is over patients alone.

    Raises:
        ValueError: if the shapes do not fit together, or as :func:`score_interval`.
    """
    tables = _tables(probs)
    each = _measured(name, tables, (label, patient_id), activation=activation, jackknife=True)
    values = each.values
    mean, sd = float(values.mean()), _sd(values)
    alone = _seeds_interval(mean, sd / math.sqrt(len(values)), len(values), level)
    if len(values) == 1:
        both = score_interval(
            name, tables[0], label, activation=activation, patient_id=patient_id, level=level
        )
    else:
        error, df = _both(values, each.influence, each.patient)
        beyond = _mean_reach([reach(parts, each.patient) for parts in each.parts], len(values))
        both = mover(mean, error, df, reach=beyond, level=level)
    return SeedsSummary(values, mean, sd, alone, both)


class _Measured(NamedTuple):
    """A score of S seeds: values (S,), influences (S, N), patients (N,), parts by seed."""

    values: FloatArray
    influence: FloatArray
    patient: NDArray[Any]
    parts: list[list[Part]]


def _measured(
    name: str,
    tables: FloatArray,
    judged: tuple[ArrayLike, Sequence[object] | NDArray[Any] | None],
    *,
    activation: str,
    jackknife: bool | None = None,
) -> _Measured:
    label, patient_id = judged
    known = [known_images(name, (prob, label, patient_id), activation) for prob in tables]
    _, truth, who = known[0]
    wide = few_patients(truth, who) if jackknife is None else jackknife
    parts = [score_parts(name, one, activation, jackknife=wide) for one in known]
    each = [mean_of(one, len(who)) for one in parts]
    return _Measured(
        values=np.array([value for value, _ in each]),
        influence=np.array([influence for _, influence in each]),
        patient=who,
        parts=parts,
    )


def _mean_reach(each: Sequence[Reach], count: int) -> Reach:
    """How far the mean over seeds reaches where parts have no error: the patients are the same."""

    def at(level: float) -> tuple[float, float]:
        steps = [one(level) for one in each]
        return sum(s[0] for s in steps) / count, sum(s[1] for s in steps) / count

    return at


def _seeds_interval(mean: float, error: float, count: int, level: float) -> Interval:
    """Student's interval over seeds on the logit scale; seeds that are alike say nothing more."""
    if error <= NO_ERROR:
        return Interval(mean, mean, mean)
    return logit_interval(mean, error, max(count - 1, 1), cases=count, level=level)


def _around(mean: float, error: float, *, df: float, level: float) -> tuple[float, float]:
    step = student_quantile(level, df) * error
    return mean - step, mean + step


def _both(values: FloatArray, influence: FloatArray, who: NDArray[Any]) -> tuple[float, float]:
    """Standard error of the mean over seeds and patients, and its degrees of freedom."""
    count = len(values)
    of_mean, patient_df = spread(influence.mean(axis=0), who)
    of_each = float(np.mean([spread(one, who)[0] ** 2 for one in influence]))
    shared = max((count * of_mean**2 - of_each) / (count - 1), 0.0)
    from_seeds = _sd(values) ** 2 / count
    total = from_seeds + shared
    error = math.sqrt(max(total, of_mean**2))  # few seeds may lie close together by luck
    if not error > 0:  # alike in all seeds and patients
        return error, float(count - 1)
    if total == 0:
        return error, patient_df
    return error, total**2 / (from_seeds**2 / (count - 1) + shared**2 / patient_df)


def _sd(values: FloatArray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _tables(probs: ArrayLike) -> FloatArray:
    array = np.asarray(probs, np.float64)
    if array.ndim != 3 or not len(array):
        raise ValueError(
            f"seeds: `probs` must be (S, N, C), one table for each of one seed or more, got "
            f"{array.shape}. Stack the tables along a new first axis."
        )
    return array
