# SPDX-License-Identifier: Apache-2.0
r"""From influences to intervals: one machinery for every smooth score, images nested in patients.

The influence :math:`u_i` of an image says how far it moves a score. Images of one patient err
together, so they are added up first: :math:`\operatorname{Var} = \sum_g (\sum_{i \in g} u_i)^2`.
Three things mend this for few patients. With :math:`h_g` the share of its class that a patient
makes up, an influence is divided by :math:`1 - h_g` for the interval of a score (as if the patient
had been left out: the jackknife), by its root for the difference of two (for one image per patient
this is DeLong's :math:`m / (m - 1)`; what two models share cancels out, and the jackknife would
be too wide, unless a class has fewer than ten patients). The quantile is Student's, with degrees
of freedom from the spread of the squares. A score in [0, 1] is treated on the logit scale.

Sources: MacKinnon and White, "Some heteroskedasticity-consistent covariance matrix estimators with
improved finite sample properties", Journal of Econometrics 29, 1985 (HC2 and HC3);
Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
Bulletin 2, 1946 (degrees of freedom). Which of them are put together, and how the degrees of
freedom are estimated, is ours; ``benchmarks/coverage.py`` shows what it is worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.interval import Interval

__all__ = [
    "NO_ERROR",
    "Correct",
    "corrected",
    "correction",
    "logit_interval",
    "patient_index",
    "spread",
    "student_p",
    "student_quantile",
    "wilson_interval",
]

FloatArray = NDArray[np.float64]
Correct = Callable[[FloatArray, FloatArray], FloatArray]
NO_ERROR = 1e-12
"""A standard error that is nothing but rounding."""


def patient_index(patient_id: Sequence[object] | NDArray[Any] | None, count: int) -> NDArray[Any]:
    """Return a number from 0 for the patient of each image.

    Args:
        patient_id: who each image belongs to; an image with a blank, None or NaN is a patient of
            its own. None: every image is.
        count: number of images.

    Raises:
        ValueError: if there is not one entry per image.
    """
    if patient_id is None:
        return np.arange(count)
    if len(patient_id) != count:
        raise ValueError(
            f"patient_index: `patient_id` must have one entry per image, {count}, got "
            f"{len(patient_id)}. Collect it from the same batches."
        )
    names = np.asarray(patient_id)
    if names.dtype.kind in "iu":
        return np.unique(names, return_inverse=True)[1]
    texts = [_text(patient) for patient in patient_id]
    alone = [text or f"\0{row}" for row, text in enumerate(texts)]
    return np.unique(np.asarray(alone), return_inverse=True)[1]


def corrected(
    influence: FloatArray, weight: FloatArray, patient: NDArray[Any], *, jackknife: bool = False
) -> FloatArray:
    r"""Return influences on a mean, corrected for few patients.

    Args:
        influence: raw influences, ``(N,)``.
        weight: what each image weighs in the mean, ``(N,)``; 0 leaves it as it is.
        patient: number of the patient of each image, ``(N,)``.
        jackknife: whether to divide by :math:`1 - h_g`, not by its root.

    Returns:
        ``(N,)``; NaN where one patient is all there is.
    """
    share = np.bincount(patient, weights=weight)[patient] / weight.sum()
    room = np.where(weight > 0, 1 - share, 1.0)
    room[room < 1e-12] = math.nan
    return np.asarray(influence / (room if jackknife else np.sqrt(room)))


def correction(patient: NDArray[Any], *, jackknife: bool = False) -> Correct:
    """Return :func:`corrected` as a function of the influences and the weights alone.

    Args:
        patient: see :func:`corrected`.
        jackknife: see :func:`corrected`.
    """
    return partial(corrected, patient=patient, jackknife=jackknife)


def spread(influence: FloatArray, patient: NDArray[Any]) -> tuple[float, float]:
    """Return the standard error of a score, and its degrees of freedom.

    Args:
        influence: ``(N,)``, corrected.
        patient: number of the patient of each image, ``(N,)``.

    Returns:
        The standard error, and how many degrees of freedom it has: at most one less than there
        are patients, fewer when some of them move the score far more than the others, at least 1.
    """
    squares = np.square(np.bincount(patient, weights=influence))
    variance = float(squares.sum())
    if not variance > 0:
        return math.sqrt(variance) if variance == 0 else math.nan, max(len(squares) - 1, 1)
    # Normal sums have E u^4 = 3 (E u^2)^2, so a third of the fourth powers is Satterthwaite's sum.
    effective = 3 * variance**2 / float(np.square(squares).sum())
    return math.sqrt(variance), max(min(effective, len(squares) - 1), 1)


def logit_interval(
    value: float, error: float, df: float, *, cases: int, level: float = 0.95
) -> Interval:
    """Return the interval of a score in [0, 1], symmetric on the logit scale.

    Args:
        value: the score.
        error: its standard error; NaN gives NaN limits.
        df: degrees of freedom of the error; infinite for the normal quantile.
        cases: independent cases. Where the error is 0, the limits are those of a share of so many:
            at exactly 0 or 1 the exact binomial one, between them Wilson's.
        level: share of intervals that hold the truth, in (0, 1).
    """
    if math.isnan(value) or math.isnan(error):
        return Interval(value, math.nan, math.nan)
    if value <= 0 or value >= 1:
        bound = ((1 - level) / 2) ** (1 / max(cases, 1))
        return Interval(value, bound, 1.0) if value >= 1 else Interval(value, 0.0, 1 - bound)
    if error <= NO_ERROR:
        return wilson_interval(value, max(cases, 1), level=level)
    step = student_quantile(level, df) * error / (value * (1 - value))
    center = math.log(value / (1 - value))
    return Interval(value, _sigmoid(center - step), _sigmoid(center + step))


def wilson_interval(
    share: float, trials: float, *, df: float = math.inf, level: float = 0.95
) -> Interval:
    """Return Wilson's interval of a share.

    Args:
        share: in [0, 1].
        trials: how many independent trials it is of, above 0; need not be whole.
        df: degrees of freedom that the number of independent trials is known with; infinite when
            it was counted.
        level: share of intervals that hold the truth, in (0, 1).
    """
    square = student_quantile(level, df) ** 2
    center = (share + square / (2 * trials)) / (1 + square / trials)
    half = math.sqrt(square * share * (1 - share) / trials + (square / (2 * trials)) ** 2)
    half /= 1 + square / trials
    low = 0.0 if share == 0 else center - half
    return Interval(share, low, 1.0 if share == 1 else center + half)


def student_quantile(level: float, df: float) -> float:
    """Return how many standard errors an interval reaches to either side.

    Args:
        level: share of intervals that hold the truth, in (0, 1).
        df: degrees of freedom; infinite for the normal quantile.

    Raises:
        ValueError: if ``level`` is not in (0, 1).

    Example:
        >>> round(student_quantile(0.95, math.inf), 4), round(student_quantile(0.95, 4), 4)
        (1.96, 2.7764)
    """
    from scipy.special import ndtri, stdtrit

    if not 0 < level < 1:
        raise ValueError(
            f"interval: `level` must be in (0, 1), got {level}. Give 0.95 for 95% intervals."
        )
    tail = (1 + level) / 2
    return float(ndtri(tail) if math.isinf(df) else stdtrit(df, tail))


def student_p(value: float, error: float, df: float) -> float:
    """Return the two-sided p-value of a value that is 0 in truth.

    Args:
        value: what was found.
        error: its standard error; 0 gives 1 if nothing was found, else 0.
        df: degrees of freedom of the error.
    """
    from scipy.special import ndtr, stdtr

    if math.isnan(value) or math.isnan(error):
        return math.nan
    if error == 0:
        return 1.0 if value == 0 else 0.0
    far = -abs(value) / error
    return float(2 * (ndtr(far) if math.isinf(df) else stdtr(df, far)))


def _text(patient: object) -> str:
    """An id as text, "" for one that is not known."""
    blank = patient is None or (isinstance(patient, float) and math.isnan(patient))
    return "" if blank else str(patient).strip()


def _sigmoid(value: float) -> float:
    return 0.5 * (1 + math.tanh(value / 2))
