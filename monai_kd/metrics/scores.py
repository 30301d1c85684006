# SPDX-License-Identifier: Apache-2.0
r"""The scores of a classifier, and how far each image moves them.

Every smooth score is a function of the weights of the images. Its derivative to the weight of one
image, at equal weights, is that image's *influence* :math:`u_i`; the sum of squares of the
influences, added up by patient, is the variance of the score (the infinitesimal jackknife). So one
machinery, :mod:`monai_kd.metrics.uncertainty`, gives intervals and differences of all of them.

Sources: Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", SIAM 1982, chapter 6;
Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78,
1950. Average precision is that of scikit-learn (no interpolation, equal scores are one step); the
derivative of each score is worked out here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.delong import auroc_parts
from monai_kd.metrics.parts import Part, mean_of
from monai_kd.metrics.score_arrays import check_values, rank_columns, whole_rows
from monai_kd.metrics.uncertainty import Correct, correction, patient_index
from monai_kd.utils import check_choice

__all__ = ["SCORES", "Score", "auprc_and_influence"]

FloatArray = NDArray[np.float64]
Index = NDArray[Any]
Measured = tuple[float, FloatArray]


@dataclass(frozen=True)
class Score:
    """One number that says how good a classifier is, with the influence of each image on it.

    Args:
        measure: takes ``prob`` and ``label``, both ``(N, C)`` and checked, whether exactly one
            finding is true per image, and the correction for few patients; returns the parts that
            the score is the mean of.
        lower_is_better: whether a model gains by a lower value.
    """

    measure: Callable[[FloatArray, FloatArray, bool, Correct], list[Part]]
    lower_is_better: bool = False

    def __call__(
        self,
        prob: ArrayLike,
        label: ArrayLike,
        *,
        activation: str,
        patient_id: Sequence[object] | Index | None = None,
        jackknife: bool = False,
    ) -> Measured:
        """Return the score and how far each image moves it.

        Args:
            prob: probabilities in [0, 1], ``(N, C)`` or ``(N,)``.
            label: 1, 0, or NaN for unknown, shape of ``prob``. For softmax a row with any NaN is
                left out, for sigmoid each NaN alone.
            activation: ``"softmax"`` decides for the most probable finding, ``"sigmoid"`` for
                each finding at 0.5.
            patient_id: who each image belongs to; None: every image is a patient.
            jackknife: the wider correction for few patients, for the interval of the score itself,
                see :func:`.correction`.

        Returns:
            The value, NaN when the labels cannot give it; the influences ``(N,)``, 0 for images
            left out: added up by patient, the sum of their squares is the variance. NaN when a
            class has one patient only.

        Raises:
            ValueError: if shapes differ, a value is not a probability or label, or ``activation``
                is another word.
        """
        check_choice("Score", "activation", activation, ("softmax", "sigmoid"))
        probs, truth = rank_columns("Score", prob, label)
        check_values("Score", probs, truth)
        truth = whole_rows(truth, activation)
        correct = correction(patient_index(patient_id, len(probs)), jackknife=jackknife)
        return mean_of(self.measure(probs, truth, activation == "softmax", correct), len(probs))


def auprc_and_influence(
    prob: ArrayLike, label: ArrayLike, *, correct: Correct | None = None
) -> Measured:
    r"""Return the area under the precision-recall curve of one finding, and each image's influence.

    With :math:`T_i, F_i` the true and false positives when positive :math:`i` is the threshold,
    the area is the average precision :math:`A = \frac{1}{m} \sum_i T_i / (T_i + F_i)`. A positive
    image :math:`k` moves it by
    :math:`\frac{1}{m}(T_k / (T_k + F_k) - A + \sum_{i \le k} F_i / (T_i + F_i)^2)`, a negative one
    by :math:`-\frac{1}{m} \sum_{i \le k} T_i / (T_i + F_i)^2`; the sums run over the positives
    that score no higher.

    Args:
        prob: scores, ``(N,)``; any increasing function of them gives the same.
        label: 1, 0, or NaN for unknown, ``(N,)``.
        correct: from :func:`.correction`; None: every image is a patient.

    Returns:
        The area, NaN when a class is absent; and the influences, ``(N,)``, corrected for the
        number of patients in each class, 0 where the label is unknown.

    Raises:
        ValueError: if shapes differ, a score is NaN, or a value is not a label.

    Example:
        >>> round(auprc_and_influence([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])[0], 4)
        0.8333
    """
    score, truth = (part[:, 0] for part in rank_columns("auprc_and_influence", prob, label))
    return _area(score, truth, correct or correction(np.arange(len(score))))


def _area(score: FloatArray, truth: FloatArray, correct: Correct) -> Measured:
    influence = np.zeros(len(score))
    positive, negative = truth == 1, truth == 0
    m, n = int(positive.sum()), int(negative.sum())
    if not m or not n:
        return math.nan, influence
    known = positive | negative
    _, step = np.unique(-score[known], return_inverse=True)  # 0 is the highest score
    hits, alarms = _per_step(step, positive[known]), _per_step(step, negative[known])
    true, false = hits.cumsum(), alarms.cumsum()
    precision = true / (true + false)
    area = float((hits * precision).sum() / m)
    below_true = _from_here(hits * true / (true + false) ** 2)
    below_false = _from_here(hits * false / (true + false) ** 2)
    moved = np.where(positive[known], (precision - area + below_false)[step], -below_true[step])
    influence[known] = moved / m
    return area, correct(correct(influence, 1.0 * positive), 1.0 * negative)


def _auprc(prob: FloatArray, label: FloatArray, _: bool, correct: Correct) -> list[Part]:
    return [
        Part(*_area(one, its, correct), (its == 1, its == 0))
        for one, its in zip(prob.T, label.T, strict=True)
    ]


def _accuracy(prob: FloatArray, label: FloatArray, exclusive: bool, correct: Correct) -> list[Part]:
    return [_share(*right_and_known(prob, label, exclusive), correct)]


def right_and_known(
    prob: FloatArray, label: FloatArray, exclusive: bool
) -> tuple[FloatArray, FloatArray]:
    """Return how many decisions of each image are right, and how many can be judged, ``(N,)``.

    Args:
        prob: ``(N, C)``.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        exclusive: whether an image is one decision, or each finding is.
    """
    known = ~np.isnan(label)
    right = known & (_decided(prob, exclusive) == (label == 1))
    count = np.min if exclusive else np.sum
    return count(1.0 * right, axis=1), count(1.0 * known, axis=1)


def _balanced_accuracy(
    prob: FloatArray, label: FloatArray, exclusive: bool, correct: Correct
) -> list[Part]:
    decided = _decided(prob, exclusive)
    each = []
    for c in range(prob.shape[1]):
        yes, no = label[:, c] == 1, label[:, c] == 0
        recall = _share(1.0 * (yes & decided[:, c]), 1.0 * yes, correct)
        if exclusive:
            each.append(recall)
        elif yes.any() and no.any():  # other findings are undefined
            each += [recall, _share(1.0 * (no & ~decided[:, c]), 1.0 * no, correct)]
    return each


def _macro_f1(prob: FloatArray, label: FloatArray, exclusive: bool, correct: Correct) -> list[Part]:
    decided = _decided(prob, exclusive) & ~np.isnan(label)
    yes = label == 1
    return [
        _share(2.0 * (yes & said), 1.0 * yes + said, correct)._replace(cases=(yes,))
        for yes, said in zip(yes.T, decided.T, strict=True)
    ]


def _brier(prob: FloatArray, label: FloatArray, _: bool, correct: Correct) -> list[Part]:
    known = ~np.isnan(label)
    error = np.where(known, np.square(prob - np.where(known, label, 0)), 0)
    return [
        _share(part, 1.0 * of, correct)._replace(decided=False)
        for part, of in zip(error.T, known.T, strict=True)
    ]


def _decided(prob: FloatArray, exclusive: bool) -> NDArray[np.bool_]:
    if not exclusive:
        return np.asarray(prob >= 0.5)
    if prob.shape[1] < 2:
        raise ValueError(
            "Score: `prob` must have two columns or more for softmax, got 1. Use "
            "`activation='sigmoid'` for one finding."
        )
    return np.asarray(prob.argmax(axis=1)[:, None] == np.arange(prob.shape[1]))


def _share(part: FloatArray, whole: FloatArray, correct: Correct) -> Part:
    """Sum of ``part`` over sum of ``whole``."""
    total, cases = float(whole.sum()), (whole > 0,)
    if not total:
        return Part(math.nan, np.zeros(len(part)), cases, decided=True)
    value = float(part.sum()) / total
    return Part(value, correct((part - value * whole) / total, whole), cases, decided=True)


def _per_step(step: NDArray[np.intp], chosen: NDArray[np.bool_]) -> FloatArray:
    return np.asarray(np.bincount(step, weights=chosen), np.float64)


def _from_here(values: FloatArray) -> FloatArray:
    """Sum of each value and all behind it."""
    return values[::-1].cumsum()[::-1]


def _auroc(prob: FloatArray, label: FloatArray, _: bool, correct: Correct) -> list[Part]:
    return auroc_parts(prob, label, correct)


SCORES: dict[str, Score] = {
    "macro_auroc": Score(_auroc),
    "macro_auprc": Score(_auprc),
    "accuracy": Score(_accuracy),
    "balanced_accuracy": Score(_balanced_accuracy),
    "macro_f1": Score(_macro_f1),
    "brier": Score(_brier, lower_is_better=True),
}
"""Scores by name: means over the findings that are defined; Brier is the mean squared error of the
probabilities, over images and then over findings, from 0 to 1. On one column each is that of one
finding."""
