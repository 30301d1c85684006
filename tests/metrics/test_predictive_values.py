# SPDX-License-Identifier: Apache-2.0
"""Predictive values at a stated prevalence: Bayes, the published formula, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import predictive_values

NORMAL = 1.959963984540054


def counts(tp=180, fn=20, tn=240, fp=60):
    label = np.repeat([1.0, 1.0, 0.0, 0.0], [tp, fn, tn, fp])
    return np.repeat([True, False, False, True], [tp, fn, tn, fp]), label


def test_the_values_are_bayes():
    values = predictive_values(*counts(), prevalence=0.02)  # sensitivity 0.9, specificity 0.8
    assert values["ppv"].estimate == pytest.approx(0.9 * 0.02 / (0.9 * 0.02 + 0.2 * 0.98))
    assert values["npv"].estimate == pytest.approx(0.8 * 0.98 / (0.8 * 0.98 + 0.1 * 0.02))


def test_the_limits_are_those_of_mercaldo_lau_and_zhou_when_images_are_many():
    values = predictive_values(*counts(1800, 200, 2400, 600), prevalence=0.02)
    for name, s, c, odds, n, m in (
        ("ppv", 0.9, 0.8, 0.02 / 0.98, 2000, 3000),
        ("npv", 0.8, 0.9, 0.98 / 0.02, 3000, 2000),
    ):
        center = math.log(s / (1 - c) * odds)
        step = NORMAL * math.sqrt((1 - s) / (s * n) + c / ((1 - c) * m))
        expected = [1 / (1 + math.exp(-center - sign * step)) for sign in (-1, 1)]
        assert values[name][1:] == pytest.approx(expected, rel=2e-3)


def test_patients_with_several_images_widen_the_limits():
    said, label = counts()
    alone = predictive_values(said, label, prevalence=0.1)["ppv"]
    copied = predictive_values(
        np.repeat(said, 4),
        np.repeat(label, 4),
        prevalence=0.1,
        patient_id=np.repeat(range(500), 4),
    )["ppv"]
    assert copied == pytest.approx(alone, rel=1e-6)


def test_a_patient_who_is_in_both_classes_errs_in_both():
    """Each has one image with the finding and one without, and one answer for both."""
    answer = np.random.default_rng(0).random(100) < 0.5
    who, label = np.repeat(range(100), 2), np.tile([1.0, 0.0], 100)
    ppv = predictive_values(np.repeat(answer, 2), label, prevalence=0.1, patient_id=who)["ppv"]
    assert ppv == pytest.approx((0.1, 0.1, 0.1))  # as many hits as false alarms, in any sample


def test_an_error_free_class_still_leaves_a_doubt():
    values = predictive_values(*counts(fp=0), prevalence=0.1)
    assert values["ppv"].estimate == values["ppv"].high == 1
    assert 0.5 < values["ppv"].low < 0.99
    values = predictive_values(*counts(tp=0), prevalence=0.1)
    assert values["ppv"].estimate == values["ppv"].low == 0
    assert 0 < values["ppv"].high < 0.2


def test_what_is_never_said_has_no_value():
    values = predictive_values([False] * 4, [1, 1, 0, 0], prevalence=0.1)
    assert math.isnan(values["ppv"].estimate)
    assert values["npv"].estimate == pytest.approx(0.9)
    for label in ([1, 1], [0, 0], [math.nan, 1]):
        values = predictive_values([True, False], label, prevalence=0.1)
        assert all(math.isnan(one.estimate) for one in values.values())


def test_one_patient_in_a_class_gives_no_limits():
    values = predictive_values(*counts(), prevalence=0.1, patient_id=["a"] * 200 + ["b"] * 300)
    assert values["ppv"].estimate > 0
    assert math.isnan(values["ppv"].low)


def test_the_prevalence_is_a_share():
    for wrong in (0, 1, 5):
        with pytest.raises(ValueError, match=rf"`prevalence` must be in \(0, 1\), got {wrong}"):
            predictive_values(*counts(), prevalence=wrong)


@pytest.mark.slow
@pytest.mark.parametrize("per_patient", [1, 4])
@pytest.mark.parametrize(("s", "c"), [(0.9, 0.8), (0.95, 0.95)])
def test_the_limits_hold_the_truth_as_often_as_they_say(s, c, per_patient):
    from scipy.special import ndtr

    rng, truth = np.random.default_rng(0), s * 0.05 / (s * 0.05 + (1 - c) * 0.95)
    for n in (50, 200, 1000):
        held, runs, who = 0, 0, np.arange(n) // per_patient
        for _ in range(1000):
            label = (rng.random(n) < 0.3)[who].astype(float)
            noise = (rng.normal(size=n)[who] + rng.normal(size=n)) / math.sqrt(2)
            right = ndtr(noise) < np.where(label == 1, s, c)
            said = np.where(label == 1, right, ~right)
            _, low, high = predictive_values(said, label, prevalence=0.05, patient_id=who)["ppv"]
            runs += not math.isnan(low)
            held += low <= truth <= high
        assert 0.93 <= held / runs <= 0.995


def test_few_patients_have_the_quantile_of_student():
    from monai_kd.metrics.uncertainty import spread, student_quantile

    said, label = counts(tp=6, fn=2, tn=7, fp=3)
    found = predictive_values(said, label, prevalence=0.2)["ppv"]
    moved = np.zeros(18)
    sick, well = label == 1, label == 0
    moved[sick] = (said[sick] - 6 / 8) / 8 / math.sqrt(7 / 8) / (6 / 8)
    moved[well] = -(~said[well].astype(bool) - 7 / 10) / 10 / math.sqrt(9 / 10) / (3 / 10)
    error, df = spread(moved, np.arange(18))
    assert df < 18
    odds = (6 / 8) / (3 / 10) * 0.25 * math.exp(student_quantile(0.95, df) * error)
    assert found.high == pytest.approx(odds / (1 + odds))
    assert student_quantile(0.95, df) > 2.05


@pytest.mark.parametrize(
    ("label", "message"),
    [
        pytest.param([1, 0, -1], "`label` must be 0, 1, or NaN", id="label"),
        pytest.param([1, 0], r"\(3,\) and \(2,\)", id="length"),
    ],
)
def test_refuses_what_is_no_label(label, message):
    with pytest.raises(ValueError, match=message):
        predictive_values([1, 0, 1], label, prevalence=0.1)
