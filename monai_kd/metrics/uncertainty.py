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

from monai_kd.metrics.limits import (
    NO_ERROR,
    Reach,
    difference_interval,
    logit_interval,
    mover,
    student_p,
    student_quantile,
    wilson_interval,
)

__all__ = [
    "NO_ERROR",
    "Correct",
    "Reach",
    "corrected",
    "correction",
    "difference_interval",
    "logit_interval",
    "mover",
    "patient_index",
    "spread",
    "student_p",
    "student_quantile",
    "wilson_interval",
]

FloatArray = NDArray[np.float64]
Correct = Callable[[FloatArray, FloatArray], FloatArray]


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


def _text(patient: object) -> str:
    """An id as text, "" for one that is not known."""
    blank = patient is None or (isinstance(patient, float) and math.isnan(patient))
    return "" if blank else str(patient).strip()
