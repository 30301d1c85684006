# SPDX-License-Identifier: Apache-2.0
"""Whether a probability of 0.8 comes true in 8 of 10 images.

Source: Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather
Review 78, 1950. Ours is its mean over findings. The expected calibration error and the temperature
have files of their own, with their sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_kd.metrics.calibration_error import bin_index, expected_calibration_error
from monai_kd.metrics.interval import Interval, json_limits, json_number
from monai_kd.metrics.proportion import proportion_interval
from monai_kd.metrics.score_arrays import score_arrays, whole_rows
from monai_kd.metrics.score_intervals import score_interval
from monai_kd.metrics.temperature import apply_temperature
from monai_kd.metrics.uncertainty import patient_index
from monai_kd.utils import check_choice

__all__ = ["brier_score", "calibration_summary", "reliability_curve"]


def calibration_summary(
    prob: Any,
    label: Any,
    *,
    activation: str,
    findings: Sequence[str],
    patient_id: Sequence[object] | None = None,
    temperature: float | None = None,
    bins: int = 10,
) -> dict[str, Any]:
    """Return how honest the probabilities are, ready for ``json.dump``.

    Args:
        prob: probabilities in [0, 1], ``(N, C)``; rows sum to 1 for softmax.
        label: 1, 0, or NaN for unknown, ``(N, C)``. For softmax a row with any NaN is left out,
            for sigmoid each NaN alone.
        activation: ``"softmax"`` or ``"sigmoid"``.
        findings: names of the C findings.
        patient_id: who each image belongs to; widens the intervals as needed.
        temperature: from :func:`fit_temperature` on validation; None: no scaled numbers.
        bins: how many bins of equal mass, at least 1.

    Returns:
        ``ece``, ``ece_ci``, ``brier``, ``brier_ci`` (95%); ``temperature``, ``ece_scaled``,
        ``brier_scaled``, None without a temperature; ``reliability`` by finding, lists over the
        bins: ``mean_prob``, ``share`` of positives, its limits ``low`` and ``high``, and ``n``.
        None where the data cannot say.

    Raises:
        ValueError: if shapes differ, nothing is there, or a value is not a probability or label.
    """
    check_choice("calibration_summary", "activation", activation, ("softmax", "sigmoid"))
    probs, truth = score_arrays("calibration_summary", prob, label, patient_id=patient_id)
    if len(findings) != probs.shape[1]:
        raise ValueError(
            f"calibration_summary: `findings` must name the {probs.shape[1]} columns, got "
            f"{len(findings)}. Give one name per column."
        )
    truth = whole_rows(truth, activation)
    ece = expected_calibration_error(probs, truth, bins=bins, patient_id=patient_id)
    brier = brier_score(probs, truth, patient_id=patient_id)
    scaled: dict[str, float | None] = {"ece_scaled": None, "brier_scaled": None}
    if temperature is not None:
        cooled = apply_temperature(probs, temperature, activation=activation)
        after = expected_calibration_error(cooled, truth, bins=bins, patient_id=patient_id)
        scaled = {
            "ece_scaled": json_number(after.estimate),
            "brier_scaled": json_number(brier_score(cooled, truth).estimate),
        }
    return {
        "ece": json_number(ece.estimate),
        "ece_ci": json_limits(ece),
        "brier": json_number(brier.estimate),
        "brier_ci": json_limits(brier),
        "temperature": temperature,
        **scaled,
        "reliability": {
            name: reliability_curve(probs[:, c], truth[:, c], bins=bins, patient_id=patient_id)
            for c, name in enumerate(findings)
        },
    }


def brier_score(
    prob: Any, label: Any, *, patient_id: Sequence[object] | None = None, level: float = 0.95
) -> Interval:
    """Return the mean squared error of the probabilities, over images and then over findings.

    0 is best; 0.25 is what a probability of 0.5 for everything gets.

    Args:
        prob: probabilities in [0, 1], ``(N,)`` or ``(N, C)``.
        label: 1, 0, or NaN for unknown, shape of ``prob``; each NaN is left out alone.
        patient_id: who each image belongs to; None: every image is a patient.
        level: share of intervals that hold the truth, in (0, 1).

    Raises:
        ValueError: if shapes differ, nothing is there, or a value is not a probability or label.

    Example:
        >>> round(brier_score([0.9, 0.2], [1, 0]).estimate, 3)
        0.025
    """
    probs, truth = score_arrays("brier_score", prob, label, patient_id=patient_id)
    return score_interval(
        "brier", probs, truth, activation="sigmoid", patient_id=patient_id, level=level
    )


def reliability_curve(
    prob: Any, label: Any, *, bins: int = 10, patient_id: Sequence[object] | None = None
) -> dict[str, list[Any]]:
    """Return what was said and what came true, bin by bin of equal mass, for one finding.

    Args:
        prob: probabilities in [0, 1], ``(N,)``.
        label: 1, 0, or NaN for unknown, ``(N,)``.
        bins: how many bins, at least 1; those without an image are left out.
        patient_id: who each image belongs to; None: every image is a patient.

    Returns:
        Lists, from low to high probabilities: ``mean_prob``; ``share`` of positives, with ``low``
        and ``high`` (95%, None for a single patient); ``n`` images.

    Raises:
        ValueError: if shapes differ, nothing is there, or a value is not a probability or label.

    Example:
        >>> reliability_curve([0.1, 0.1, 0.8, 0.8], [0, 0, 0, 1], bins=2)["share"]
        [0.0, 0.5]
    """
    probs, truth = score_arrays("reliability_curve", prob, label, patient_id=patient_id)
    known = ~np.isnan(truth[:, 0])
    said, seen = probs[known, 0], truth[known, 0]
    patient = patient_index(patient_id, len(probs))[known]
    index = bin_index(said, bins=bins)
    curve: dict[str, list[Any]] = {name: [] for name in ("mean_prob", "share", "low", "high", "n")}
    for number in np.unique(index):
        here = index == number
        share = proportion_interval(seen[here], here[here], group=patient[here])
        curve["mean_prob"].append(float(said[here].mean()))
        curve["share"].append(share.estimate)
        curve["low"].append(json_number(share.low))
        curve["high"].append(json_number(share.high))
        curve["n"].append(int(here.sum()))
    return curve
