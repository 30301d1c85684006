# SPDX-License-Identifier: Apache-2.0
r"""PPV and NPV where the finding is as common as it will be, not as it was in the study.

.. math::
    \operatorname{logit} \text{PPV} &= \log \frac{s\, \pi}{(1 - c) (1 - \pi)} \\
    \operatorname{logit} \text{NPV} &= \log \frac{c\, (1 - \pi)}{(1 - s)\, \pi}

with sensitivity :math:`s`, specificity :math:`c` and prevalence :math:`\pi`.

Source: Mercaldo, Lau, Zhou, "Confidence intervals for predictive values with an emphasis to
case-control studies", Statistics in Medicine 26, 2007. Theirs is the logit interval; ours, that
images are added up by patient, with Student's quantile. Where sensitivity or specificity is 0 or 1
the limits come from the Wilson intervals of both (Zou and Donner, "Construction of confidence
limits about effect measures", Statistics in Medicine 27, 2008): the adjusted counts of the first
paper covered 78 to 91% there in our simulations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.interval import Interval
from monai_kd.metrics.proportion import proportion_interval
from monai_kd.metrics.score_arrays import score_arrays
from monai_kd.metrics.uncertainty import correction, patient_index, spread, student_quantile

__all__ = ["predictive_values"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def predictive_values(
    said: Any,
    label: Any,
    *,
    prevalence: float,
    patient_id: Sequence[object] | None = None,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return the predictive values at a stated prevalence.

    Args:
        said: whether the model says that the finding is present, ``(N,)``.
        label: 1, 0, or NaN for unknown, ``(N,)``.
        prevalence: share of images with the finding, in (0, 1).
        patient_id: who each image belongs to; None: every image is a patient.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        ``ppv`` and ``npv``; all NaN when a class is absent, the value alone when the model never
        says so.

    Raises:
        ValueError: if ``prevalence`` is not in (0, 1), shapes differ, or a value is not a label.

    Example:
        >>> values = predictive_values([1, 1, 0, 0], [1, 0, 0, 1], prevalence=0.1)
        >>> round(values["ppv"].estimate, 3), round(values["npv"].estimate, 3)
        (0.1, 0.9)
    """
    if not 0 < prevalence < 1:
        raise ValueError(
            f"predictive_values: `prevalence` must be in (0, 1), got {prevalence}. Give the share "
            "of images with the finding where the model will be used, such as 0.05."
        )
    arrays = score_arrays("predictive_values", said, label, patient_id=patient_id)
    said_one, truth = (part[:, 0] for part in arrays)
    yes = said_one == 1
    patient = patient_index(patient_id, len(truth))
    if not (truth == 1).any() or not (truth == 0).any():
        nothing = Interval(math.nan, math.nan, math.nan)
        return {"ppv": nothing, "npv": nothing}
    sick, well = truth == 1, truth == 0
    right = np.where(sick, yes, ~yes).astype(np.float64)
    odds = prevalence / (1 - prevalence)
    return {
        "ppv": _interval(right, (sick, well), patient, odds, level),
        "npv": _interval(right, (well, sick), patient, 1 / odds, level),
    }


def _interval(
    hit: FloatArray,
    classes: tuple[BoolArray, BoolArray],
    patient: NDArray[Any],
    odds: float,
    level: float,
) -> Interval:
    """Logit interval of the value whose logit is log(a / (1 - b)) + log(odds).

    ``a`` is the share of hits in the first class, ``1 - b`` the share of misses in the second.
    """
    own, other = classes
    a, wrong = float(hit[own].mean()), float(1 - hit[other].mean())
    weight = a * odds + wrong
    if not weight:
        return Interval(math.nan, math.nan, math.nan)
    estimate = a * odds / weight
    if 0 < a < 1 and 0 < wrong < 1:
        moved = _moved(hit, own, patient) / a + _moved(hit, other, patient) / wrong
        error, df = spread(moved, patient)
        step = student_quantile(level, df) * error
        ratio = a / wrong * odds
        return Interval(
            estimate, _probability(ratio * math.exp(-step)), _probability(ratio * math.exp(step))
        )
    group = patient.tolist()
    share = proportion_interval(hit, own, group=group, level=level)
    miss = proportion_interval(1 - hit, other, group=group, level=level)
    low, high = _ratio_limits(share, miss)
    if math.isnan(low):
        return Interval(estimate, math.nan, math.nan)
    return Interval(estimate, _probability(low * odds), _probability(high * odds))


def _moved(hit: FloatArray, chosen: BoolArray, patient: NDArray[Any]) -> FloatArray:
    """How far each image moves the share of hits in a class; 0 outside of it."""
    weight = chosen.astype(np.float64)
    raw = np.where(chosen, hit - hit[chosen].mean(), 0.0) / weight.sum()
    return correction(patient)(raw, weight)


def _ratio_limits(share: Interval, miss: Interval) -> tuple[float, float]:
    """Limits of share / miss from the limits of both, where one of them is at the end of its scale.

    Distances on the log scale are added as the sides of a right angle; where a share is 0 and has
    no logarithm, the limits themselves are divided.
    """
    if math.isnan(share.low) or math.isnan(miss.low):
        return math.nan, math.nan
    if not miss.estimate:
        return share.low / miss.high, math.inf
    if not share.estimate:
        return 0.0, share.high / miss.low
    ratio = share.estimate / miss.estimate
    below = math.hypot(math.log(share.estimate / share.low), math.log(miss.high / miss.estimate))
    above = math.hypot(math.log(share.high / share.estimate), math.log(miss.estimate / miss.low))
    return ratio * math.exp(-below), ratio * math.exp(above)


def _probability(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)
