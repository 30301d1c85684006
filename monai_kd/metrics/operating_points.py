# SPDX-License-Identifier: Apache-2.0
"""What a yes or no is worth: thresholds chosen on validation, judged on other images.

Positive means ``prob >= threshold``, everywhere. A threshold is chosen on one section and judged on
another: judged where it was chosen, it looks better than it is.

Sources: Youden, "Index for rating diagnostic tests", Cancer 3, 1950. Predictive values at another
prevalence: see :mod:`monai_kd.metrics.predictive_values`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.interval import Interval, json_limits, json_number
from monai_kd.metrics.predictive_values import predictive_values
from monai_kd.metrics.proportion import proportion_interval
from monai_kd.metrics.score_arrays import score_arrays
from monai_kd.utils import check_choice

__all__ = ["GOALS", "choose_threshold", "operating_point", "operating_points"]

FloatArray = NDArray[np.float64]

GOALS: tuple[tuple[str, float | None], ...] = (
    ("sensitivity", 0.95),
    ("specificity", 0.95),
    ("youden", None),
)
"""Goals that an evaluation reports unless told otherwise."""


def choose_threshold(prob: Any, label: Any, *, goal: str, value: float | None = None) -> float:
    """Return the threshold that reaches a goal on these images.

    Args:
        prob: probabilities of one finding on the validation section, ``(N,)``.
        label: 1, 0, or NaN for unknown, ``(N,)``.
        goal: ``"sensitivity"``: the largest threshold that finds at least this share of the
            positives; ``"specificity"``: the smallest that clears at least this share of the
            negatives; ``"youden"``: where sensitivity + specificity is largest.
        value: the share, in (0, 1]; of no meaning for ``"youden"``.

    Returns:
        One of the probabilities, or the next number above all of them when nothing less clears
        enough negatives; NaN when the class that the goal is about is absent.

    Raises:
        ValueError: if ``goal`` is another word, ``value`` is out of range, or values are not
            probabilities or labels.

    Example:
        >>> choose_threshold([0.9, 0.6, 0.4, 0.1], [1, 1, 0, 0], goal="sensitivity", value=0.9)
        0.6
    """
    check_choice("choose_threshold", "goal", goal, ("sensitivity", "specificity", "youden"))
    probs, truth = (part[:, 0] for part in score_arrays("choose_threshold", prob, label))
    if goal == "youden":
        return _youden(probs, truth)
    if value is None or not 0 < value <= 1:
        raise ValueError(
            f"choose_threshold: `value` must be in (0, 1], got {value}. Say which {goal} is needed."
        )
    of_class = np.sort(probs[truth == (goal == "sensitivity")])
    if not len(of_class):
        return math.nan
    needed = math.ceil(value * len(of_class) - 1e-9)
    if goal == "sensitivity":
        return float(of_class[len(of_class) - needed])
    cleared = of_class[needed - 1]
    above = probs[(probs > cleared) & ~np.isnan(truth)]
    return float(above.min() if len(above) else np.nextafter(cleared, np.inf))


def operating_point(
    prob: Any,
    label: Any,
    threshold: float,
    *,
    patient_id: Sequence[object] | None = None,
    prevalence: float | None = None,
) -> dict[str, Any]:
    """Return what one threshold does on these images, ready for ``json.dump``.

    Args:
        prob: probabilities of one finding, ``(N,)``.
        label: 1, 0, or NaN for unknown, ``(N,)``.
        threshold: positive from here on, from :func:`choose_threshold` on other images.
        patient_id: who each image belongs to; widens the intervals as needed.
        prevalence: share of images with the finding where the model will be used, in (0, 1);
            None: predictive values only at the share that these images happen to have.

    Returns:
        ``threshold``; ``sensitivity``, ``specificity``, ``ppv``, ``npv``, each with ``_ci`` (95%,
        Wilson); the counts ``tp``, ``fp``, ``tn``, ``fn``; ``prevalence``, and
        ``ppv_at_prevalence``, ``npv_at_prevalence``, each with ``_ci``. None where undefined.

    Raises:
        ValueError: if ``prevalence`` is not in (0, 1), or values are not probabilities or labels.
    """
    arrays = score_arrays("operating_point", prob, label, patient_id=patient_id)
    probs, truth = (part[:, 0] for part in arrays)
    if math.isnan(threshold):
        raise ValueError(
            "operating_point: `threshold` must be a number, got NaN. The section that it was "
            "chosen on lacks a class; choose it on another."
        )
    said, sick, well = probs >= threshold, truth == 1, truth == 0
    known = sick | well
    shares = {
        "sensitivity": proportion_interval(said, sick, group=patient_id),
        "specificity": proportion_interval(~said, well, group=patient_id),
        "ppv": proportion_interval(sick, said & known, group=patient_id),
        "npv": proportion_interval(well, ~said & known, group=patient_id),
    }
    counts = {"tp": said & sick, "fp": said & well, "tn": ~said & well, "fn": ~said & sick}
    elsewhere = {name: Interval(math.nan, math.nan, math.nan) for name in ("ppv", "npv")}
    if prevalence is not None:
        elsewhere = predictive_values(said, truth, prevalence=prevalence, patient_id=patient_id)
    row: dict[str, Any] = {"threshold": float(threshold), **_with_limits(shares)}
    row |= {name: int(chosen.sum()) for name, chosen in counts.items()}
    row["prevalence"] = prevalence
    return row | _with_limits({f"{name}_at_prevalence": one for name, one in elsewhere.items()})


def operating_points(
    table: tuple[Any, Any],
    validation: tuple[Any, Any],
    *,
    findings: Sequence[str],
    goals: Sequence[tuple[str, float | None]] = GOALS,
    patient_id: Sequence[object] | None = None,
    prevalence: float | Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Return one row per finding and goal: chosen on validation, judged on other images.

    Args:
        table: probabilities and labels of the images that are judged, both ``(N, C)``.
        validation: probabilities and labels of the images that thresholds are chosen on.
        findings: names of the C findings.
        goals: pairs of goal and value, see :func:`choose_threshold`.
        patient_id: who each image of ``table`` belongs to.
        prevalence: see :func:`operating_point`; a mapping has one per finding, or leaves it out.

    Returns:
        Rows of :func:`operating_point` with ``finding``, ``goal`` (``"sensitivity 0.95"``) and
        ``validation``, the sensitivity and specificity where the threshold was chosen. Findings
        that lack a class on validation have no row.
    """
    rows = []
    for column, name in enumerate(findings):
        prob, label = (np.asarray(part)[:, column] for part in table)
        chosen_prob, chosen_label = (np.asarray(part)[:, column] for part in validation)
        if not {0.0, 1.0} <= set(chosen_label.tolist()):
            continue
        share = prevalence.get(name) if isinstance(prevalence, Mapping) else prevalence
        for goal, value in goals:
            threshold = choose_threshold(chosen_prob, chosen_label, goal=goal, value=value)
            row = operating_point(prob, label, threshold, patient_id=patient_id, prevalence=share)
            chosen_on = operating_point(chosen_prob, chosen_label, threshold)
            rows.append(
                {"finding": name, "goal": goal if goal == "youden" else f"{goal} {value:g}"}
                | row
                | {"validation": {key: chosen_on[key] for key in ("sensitivity", "specificity")}}
            )
    return rows


def _youden(prob: FloatArray, label: FloatArray) -> float:
    """The largest of the thresholds with the largest sensitivity + specificity."""
    positive, negative = np.sort(prob[label == 1]), np.sort(prob[label == 0])
    if not len(positive) or not len(negative):
        return math.nan
    threshold = np.unique(positive)[::-1]  # any other finds no more and clears fewer
    sensitivity = 1 - np.searchsorted(positive, threshold) / len(positive)
    specificity = np.searchsorted(negative, threshold) / len(negative)
    return float(threshold[np.argmax(np.round(sensitivity + specificity, 12))])


def _with_limits(shares: Mapping[str, Interval]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, share in shares.items():
        row |= {name: json_number(share.estimate), f"{name}_ci": json_limits(share)}
    return row
