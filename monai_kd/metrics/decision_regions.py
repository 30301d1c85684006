# SPDX-License-Identifier: Apache-2.0
"""Do a model's maps lie where an expert drew? Means over films, with intervals and a control.

A map lies inside a large region now and then without any aim, and an architecture has places that
it likes. So every number stands beside that of the same architecture with shuffled weights on the
same films, and the difference, film by film, is what the training has brought.

Intervals are made as those of every other score, see :mod:`monai_kd.metrics.uncertainty`: on the
logit scale for mass and overlap, Wilson's for the pointing game, Student's for the differences;
cases of one patient count together. A difference that is the same on every film has the limits that
the two shares allow, see :mod:`monai_kd.metrics.apart`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.apart import reach_apart
from monai_kd.metrics.interval import Difference, Interval, json_limits, json_number
from monai_kd.metrics.proportion import proportion_interval
from monai_kd.metrics.uncertainty import (
    NO_ERROR,
    corrected,
    difference_interval,
    logit_interval,
    patient_index,
    spread,
)

__all__ = ["RegionAgreement", "decision_region_summary"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RegionAgreement:
    """How well maps agree with regions, case by case; NaN where the map is empty.

    Args:
        mass: share of the map's mass inside the region, ``(K,)``, in [0, 1].
        hit: whether the peak lies inside, ``(K,)``, in [0, 1].
        iou: overlap of the region and the map cut at each threshold, ``(K, T)``, in [0, 1].
    """

    mass: ArrayLike
    hit: ArrayLike
    iou: ArrayLike


def decision_region_summary(
    ours: RegionAgreement,
    *,
    thresholds: Sequence[float],
    region_share: ArrayLike,
    control: RegionAgreement | None = None,
    patient_id: Sequence[object] | None = None,
    level: float = 0.95,
) -> dict[str, Any]:
    """Return what the maps of a model are worth, ready for ``json.dump``.

    The overlap is taken at the one threshold with the largest mean, chosen on the same cases; the
    control chooses its own, so that both are flattered alike.

    Args:
        ours: the model's maps, K cases (a finding on a film); those without a map are left out.
        thresholds: T shares of the peak, columns of ``iou``.
        region_share: share of the film that the region covers, ``(K,)``: what a map without any
            aim would reach.
        control: maps of networks with shuffled weights on the same cases, or None.
        patient_id: who each case belongs to, K of them. None: every case is a patient.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        ``mass_inside``, ``pointing_game``, ``iou``, each with ``_ci``; ``iou_threshold``,
        ``region_share``, ``n`` cases, ``patients`` (or None), ``empty``: cases left out; and with
        a control ``control`` (the same numbers over its ``n`` cases that have a map) and
        ``beyond_control``: each of the three minus the control's, paired over the ``n`` cases
        where both have a map. Empty when no case is left.

    Raises:
        ValueError: if the arrays differ in length, a number is not in [0, 1], or one is missing
            where there is a map.
    """
    cases = np.asarray(ours.mass, np.float64)
    patients = patient_index(patient_id, len(cases))
    covered = np.asarray(region_share, np.float64)
    _check_lengths(len(cases), ours, control, patients, covered)
    for agreement in [ours] if control is None else [ours, control]:
        _check_range(agreement)
    used = ~np.isnan(cases)
    if not used.any():
        return {}
    result = _numbers(ours, used, patients, thresholds, level)
    result |= {
        "region_share": float(covered[used].mean()),
        "n": int(used.sum()),
        "patients": None if patient_id is None else len(np.unique(patients[used])),
        "empty": int((~used).sum()),
    }
    if control is not None:
        other = np.asarray(control.mass, np.float64)
        both = used & ~np.isnan(other)
        result["control"] = _numbers(control, both, patients, thresholds, level)
        result["control"]["n"] = int(both.sum())
        result["beyond_control"] = _gains(ours, control, both, patients, level)
    return result


def _gains(
    ours: RegionAgreement,
    control: RegionAgreement,
    both: NDArray[np.bool_],
    patients: NDArray[Any],
    level: float,
) -> dict[str, Any]:
    """What the training has brought, film by film; each model's overlap at its own threshold."""
    numbers = []
    for agreement in (ours, control):
        mass, hit, iou = _arrays(agreement, both)
        numbers.append((mass, hit, iou[:, _best(iou)]))
    gains: dict[str, Any] = {"n": int(both.sum())}
    for name, one, other in zip(("mass_inside", "pointing_game", "iou"), *numbers, strict=True):
        gains |= _named(name, _gain_interval(one, other, patients[both], level))
    return gains


def _numbers(
    agreement: RegionAgreement,
    used: NDArray[np.bool_],
    patients: NDArray[Any],
    thresholds: Sequence[float],
    level: float,
) -> dict[str, Any]:
    who = patients[used]
    mass, hit, iou = _arrays(agreement, used)
    best = _best(iou)
    hits = proportion_interval(hit, np.ones(len(hit)), group=who.tolist(), level=level)
    return {
        **_named("mass_inside", _share_interval(mass, who, level)),
        **_named("pointing_game", hits),
        **_named("iou", _share_interval(iou[:, best], who, level)),
        "iou_threshold": float(thresholds[best]) if len(iou) else None,
    }


def _share_interval(values: FloatArray, who: NDArray[Any], level: float) -> Interval:
    mean, error, df = _mean(values, who)
    return logit_interval(mean, error, df, cases=len(np.unique(who)), level=level)


def _arrays(agreement: RegionAgreement, used: NDArray[np.bool_]) -> list[FloatArray]:
    parts = (agreement.mass, agreement.hit, agreement.iou)
    return [np.asarray(part, np.float64)[used] for part in parts]


def _best(iou: FloatArray) -> int:
    """Column of the threshold with the largest mean overlap."""
    return int(iou.mean(axis=0).argmax()) if len(iou) else 0


def _gain_interval(
    ours: FloatArray, other: FloatArray, who: NDArray[Any], level: float
) -> Difference:
    mean, error, df = _mean(ours - other, who)
    still = error <= NO_ERROR < abs(mean)
    reach = reach_apart(ours.mean(), other.mean(), len(np.unique(who))) if still else None
    return difference_interval(mean, error, df, reach=reach, level=level)


def _mean(values: FloatArray, who: NDArray[Any]) -> tuple[float, float, float]:
    """Mean, its standard error (NaN with fewer than two patients) and degrees of freedom."""
    count = len(values)
    if not count:
        return math.nan, math.nan, 1.0
    mean = float(values.mean())
    patient = patient_index(who, count)
    error, df = spread(corrected((values - mean) / count, np.ones(count), patient), patient)
    return mean, error, df


def _named(name: str, interval: Interval | Difference) -> dict[str, Any]:
    return {name: json_number(interval.estimate), f"{name}_ci": json_limits(interval)}


def _check_lengths(
    cases: int,
    ours: RegionAgreement,
    control: RegionAgreement | None,
    *others: NDArray[Any],
) -> None:
    parts = [ours] if control is None else [ours, control]
    lengths = [len(np.asarray(a)) for part in parts for a in (part.mass, part.hit, part.iou)]
    lengths += [len(other) for other in others]
    if set(lengths) != {cases}:
        raise ValueError(
            f"decision_region_summary: every array must have {cases} cases, got "
            f"{sorted(set(lengths))}. Give the numbers of the same cases, in one order."
        )


def _check_range(agreement: RegionAgreement) -> None:
    mass = np.asarray(agreement.mass, np.float64)
    for name in ("mass", "hit", "iou"):
        part = np.asarray(getattr(agreement, name), np.float64)[~np.isnan(mass)]
        bad = int((~((part >= 0) & (part <= 1))).sum())
        if bad:
            raise ValueError(
                f"decision_region_summary: `{name}` must be in [0, 1] where there is a map, got "
                f"{bad} values that are NaN or outside. NaN in `mass` says that a map is empty."
            )
