# SPDX-License-Identifier: Apache-2.0
"""How far probabilities are from the shares that come true: ECE, with an interval.

Sources: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015;
bins of equal mass and one error per finding: Nixon et al., "Measuring Calibration in Deep
Learning", CVPR workshops 2019, https://arxiv.org/abs/1904.01685. Ours: equal probabilities share a
bin, and the interval. The ECE is a sum of absolute values, so noise alone lifts it: a perfect model
has an ECE above 0. The interval therefore holds those true errors with which the ECE that was seen
is not unusual, and begins at 0 when noise explains all of it. Bins whose labels are all alike get
the variance of Agresti and Coull, "Approximate is better than 'exact' for interval estimation of
binomial proportions", The American Statistician 52, 1998.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.interval import Interval
from monai_kd.metrics.score_arrays import score_arrays
from monai_kd.metrics.uncertainty import patient_index
from monai_kd.utils import check_choice

__all__ = ["bin_index", "expected_calibration_error"]

FloatArray = NDArray[np.float64]
_DRAWS = 1000
_HALVINGS = 12


def expected_calibration_error(
    prob: Any,
    label: Any,
    *,
    bins: int = 10,
    binning: str = "mass",
    patient_id: Sequence[object] | None = None,
    level: float = 0.95,
) -> Interval:
    r"""Return the expected calibration error, the mean over findings, with its interval.

    .. math::
        \text{ECE} = \sum_b \frac{n_b}{n} \left| \bar p_b - \bar y_b \right|

    Args:
        prob: probabilities in [0, 1], ``(N,)`` or ``(N, C)``.
        label: 1, 0, or NaN for unknown, shape of ``prob``; each NaN is left out alone.
        bins: how many bins, at least 1; the more, the more noise is in the number.
        binning: ``"mass"`` puts as many images into each bin, ``"width"`` cuts [0, 1] evenly.
        patient_id: who each image belongs to; None: every image is a patient.
        level: share of intervals that hold the true error of these bins, in (0, 1).

    Returns:
        Estimate and limits, in [0, 1]: 92 to 96% of them hold the true error of a model that is
        too sure, but only 88 to 90% with five images a bin, and more than 97% that of a perfect
        one. Findings without a known label are left out, all NaN when none is left. The limits
        alone are NaN for a single patient.

    Raises:
        ValueError: if values are not probabilities or labels, or ``bins`` is below 1.

    Example:
        >>> round(expected_calibration_error([0.2, 0.2, 0.6, 0.6], [0, 0, 0, 1], bins=2)[0], 2)
        0.15
    """
    who = "expected_calibration_error"
    probs, truth = score_arrays(who, prob, label, patient_id=patient_id)
    used = np.flatnonzero(~np.isnan(truth).all(axis=0))
    if not len(used):
        return Interval(math.nan, math.nan, math.nan)
    probs, truth = probs[:, used], truth[:, used]
    patient = patient_index(patient_id, len(probs))
    gap, covariance = _gaps(probs, truth, _cells(probs, truth, bins, binning), patient)
    estimate = float(np.abs(gap).sum())
    if covariance is None:
        return Interval(estimate, math.nan, math.nan)
    low, high = _plausible(gap, covariance, level)
    return Interval(estimate, min(low, estimate), min(max(high, estimate), 1.0))


def bin_index(prob: FloatArray, *, bins: int, binning: str = "mass") -> NDArray[np.intp]:
    """Return the bin of each probability, from 0 to ``bins - 1``; equal ones share a bin.

    Args:
        prob: probabilities of one finding, ``(N,)``.
        bins: how many bins, at least 1.
        binning: ``"mass"`` or ``"width"``, see :func:`expected_calibration_error`.

    Raises:
        ValueError: if ``bins`` is below 1 or ``binning`` is another word.
    """
    check_choice("bin_index", "binning", binning, ("mass", "width"))
    if bins < 1:
        raise ValueError(f"bin_index: `bins` must be at least 1, got {bins}. 10 is usual.")
    if binning == "width":
        return np.minimum((prob * bins).astype(np.intp), bins - 1)
    _, value, counts = np.unique(prob, return_inverse=True, return_counts=True)
    middle = counts.cumsum() - counts / 2  # how many images lie below, half of the equal ones too
    share = middle[value] / max(len(prob), 1)
    return np.minimum((share * bins).astype(np.intp), bins - 1)


def _cells(probs: FloatArray, truth: FloatArray, bins: int, binning: str) -> NDArray[np.intp]:
    """Number of finding and bin of each probability, ``(N, C)``; -1 where the label is unknown."""
    cell = np.full(probs.shape, -1, np.intp)
    for c in range(probs.shape[1]):
        known = ~np.isnan(truth[:, c])
        cell[known, c] = c * bins + bin_index(probs[known, c], bins=bins, binning=binning)
    return cell


def _gaps(
    probs: FloatArray, truth: FloatArray, cell: NDArray[np.intp], patient: NDArray[np.intp]
) -> tuple[FloatArray, FloatArray | None]:
    """Weighted gap of each cell (their absolute values add up to the ECE), and its covariance.

    A gap is a sum over patients, so its covariance is that of the patients' shares in it.
    """
    from scipy.sparse import coo_array

    row, column = np.nonzero(cell >= 0)
    weight = 1 / (np.count_nonzero(cell >= 0, axis=0) * probs.shape[1])
    value = ((probs - truth) * weight)[row, column]
    cells, place = np.unique(cell[row, column], return_inverse=True)
    people, who = np.unique(patient[row], return_inverse=True)
    share = coo_array((value, (who, place)), shape=(len(people), len(cells))).tocsr()
    gap, count = np.asarray(share.sum(axis=0)).ravel(), len(people)
    if count < 2:
        return gap, None
    square = np.asarray((share.T @ share).todense()) - np.outer(gap, gap) / count
    covariance = square * count / (count - 1)
    lowest = _floor(truth[row, column], weight[column], patient[row], place)
    return gap, covariance + np.diag(np.maximum(lowest - np.diag(covariance), 0))


def _floor(
    label: FloatArray, weight: FloatArray, patient: NDArray[np.intp], cell: NDArray[np.intp]
) -> FloatArray:
    """Least variance of the gap of each cell: 0 where both labels are in it.

    Labels that are all alike have no spread, yet five patients without the finding do not prove a
    share of 0: two of either kind are added, as Agresti and Coull do.
    """
    images, ones = np.bincount(cell), np.bincount(cell, weights=label)
    patients = np.bincount(np.unique(np.stack([cell, patient]), axis=1)[0])
    share = 2 / (patients + 4)
    alike = (ones == 0) | (ones == images)
    mass = np.bincount(cell, weights=weight)
    return np.where(alike, mass**2 * share * (1 - share) / patients, 0.0)


def _plausible(gap: FloatArray, covariance: FloatArray, level: float) -> tuple[float, float]:
    """Smallest and largest true error with which the ECE that was seen is not unusual.

    True gaps are taken to be a multiple of those that were seen; noise comes on top of them.
    """
    values, vectors = np.linalg.eigh(covariance)
    spread = vectors * np.sqrt(np.clip(values, 0, None))
    draws = np.random.default_rng(0).standard_normal((_DRAWS // 2, len(gap))) @ spread.T
    noise = np.concatenate([draws, -draws])
    seen = float(np.abs(gap).sum())

    def limit(quantile: float) -> float:
        """The multiple for which this quantile of the ECE is the one that was seen."""
        low, high = 0.0, 1.0
        while high < 1e6 and np.quantile(np.abs(high * gap + noise).sum(1), quantile) < seen:
            low, high = high, 2 * high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            reached = np.quantile(np.abs(middle * gap + noise).sum(1), quantile) >= seen
            low, high = (low, middle) if reached else (middle, high)
        return high if high > 0.5**_HALVINGS else 0.0

    low, high = seen * limit((1 + level) / 2), seen * limit((1 - level) / 2)
    if not high:  # less than noise alone would give: luck, or bins that are right by making
        high = float(np.quantile(np.abs(noise).sum(1), (1 + level) / 2))
    return low, high
