# SPDX-License-Identifier: Apache-2.0
"""Intervals, paired differences and drops of scores: against closed forms, SciPy, and DeLong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import (
    SCORES,
    auroc_difference,
    auroc_interval,
    proportion_interval,
    score_difference,
    score_drop,
    score_interval,
)


def case(n=60, seed=0, gain=1.2):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    label = np.eye(3)[truth]
    odds = np.exp(rng.normal(size=(n, 3)) + gain * label)
    return odds / odds.sum(1, keepdims=True), label


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", SCORES)
def test_each_score_lies_between_its_limits_and_patients_widen_them(name, activation):
    prob, label = case()
    found = score_interval(name, prob, label, activation=activation)
    assert 0 <= found.low < found.estimate < found.high <= 1
    twice = [np.repeat(part, 2, axis=0) for part in (prob, label)]
    same = score_interval(name, *twice, activation=activation, patient_id=np.repeat(range(60), 2))
    assert same.estimate == pytest.approx(found.estimate)
    assert same.high - same.low == pytest.approx(found.high - found.low, rel=0.04)


def test_auroc_has_the_interval_of_its_own_function():
    prob, label = case()
    patient = np.arange(60) // 2
    ours = score_interval("macro_auroc", prob, label, activation="softmax", patient_id=patient)
    assert ours == pytest.approx(auroc_interval(prob, label, patient_id=patient))
    other = case(seed=1)[0]
    ours = score_difference(
        "macro_auroc", prob, other, label, activation="softmax", patient_id=patient
    )
    assert ours == pytest.approx(auroc_difference(prob, other, label, patient_id=patient))


def test_accuracy_has_the_interval_of_wilson():
    prob, label = case()
    right = prob.argmax(1) == label.argmax(1)
    ours = score_interval("accuracy", prob, label, activation="softmax")
    assert ours == pytest.approx(proportion_interval(int(right.sum()), 60))
    patient = np.arange(60) // 3
    ours = score_interval("accuracy", prob, label, activation="softmax", patient_id=patient)
    assert ours == pytest.approx(proportion_interval(right, np.ones(60), group=patient))


def test_findings_of_one_image_are_not_independent_decisions():
    prob, label = case()
    one = score_interval("accuracy", prob[:, 0], label[:, 0], activation="sigmoid")
    same = score_interval("accuracy", prob[:, [0, 0, 0]], label[:, [0, 0, 0]], activation="sigmoid")
    assert same.high - same.low == pytest.approx(one.high - one.low, rel=0.05)


def test_the_difference_in_brier_is_the_paired_t_test_of_squared_errors():
    from scipy.stats import ttest_rel

    prob, label = (part[:, 0] for part in case(400))
    other = case(400, seed=1)[0][:, 0]
    found = score_difference("brier", prob, other, label, activation="sigmoid")
    theirs = ttest_rel((prob - label) ** 2, (other - label) ** 2)
    assert found.estimate == pytest.approx(
        np.mean((prob - label) ** 2) - np.mean((other - label) ** 2)
    )
    assert found.p_value == pytest.approx(theirs.pvalue, rel=0.02)


@pytest.mark.parametrize("name", SCORES)
def test_a_model_does_not_differ_from_itself_and_the_sign_turns_with_the_order(name):
    prob, label = case()
    other = case(seed=3)[0]
    assert score_difference(name, prob, prob, label, activation="softmax") == (0, 0, 0, 1)
    ours = score_difference(name, prob, other, label, activation="softmax")
    theirs = score_difference(name, other, prob, label, activation="softmax")
    assert (-theirs.high, -theirs.low) == pytest.approx((ours.low, ours.high))
    assert theirs.p_value == pytest.approx(ours.p_value)


def test_a_drop_is_internal_minus_external_with_the_errors_of_both():
    home, away = case(300, gain=2), case(200, seed=1, gain=0.3)
    drop = score_drop("accuracy", (*home, None), (*away, None), activation="softmax")
    shares = [np.mean(p.argmax(1) == t.argmax(1)) for p, t in (home, away)]
    error = math.sqrt(sum(s * (1 - s) / (n - 1) for s, n in zip(shares, (300, 200), strict=True)))
    assert drop.estimate == pytest.approx(shares[0] - shares[1])
    assert drop.high - drop.low == pytest.approx(2 * 1.96 * error, rel=0.02)
    assert drop.verdict == "gain shown"  # at home it is better
    same = score_drop("accuracy", (*home, None), (*home, None), activation="softmax")
    assert same.verdict == "not shown"


def test_a_drop_counts_patients_on_either_side():
    home, away = case(300, gain=2), case(200, seed=1, gain=1)
    alone = score_drop("macro_auroc", (*home, None), (*away, None), activation="softmax")
    copied = tuple(np.repeat(part, 3, axis=0) for part in away)
    same = score_drop(
        "macro_auroc", (*home, None), (*copied, np.repeat(range(200), 3)), activation="softmax"
    )
    assert same == pytest.approx(alone, rel=0.02, abs=1e-4)


def test_unknown_labels_are_as_if_the_images_were_not_there():
    prob, label = case()
    patient = np.arange(60) // 2
    gone = np.arange(60) < 4
    masked = np.where(gone[:, None], np.nan, label)
    for name in SCORES:
        ours = score_interval(name, prob, masked, activation="softmax", patient_id=patient)
        theirs = score_interval(
            name, prob[~gone], label[~gone], activation="softmax", patient_id=patient[~gone]
        )
        assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("name", SCORES)
def test_without_labels_the_data_cannot_say(name):
    prob, label = case()
    nothing = np.full_like(label, np.nan)
    found = score_interval(name, prob, nothing, activation="softmax")
    assert all(math.isnan(value) for value in found)
    gain = score_difference(name, prob, prob, nothing, activation="softmax")
    assert all(math.isnan(value) for value in gain)
    assert gain.verdict == "not shown"


def test_a_perfect_model_is_not_a_certain_one():
    _, label = case()
    for name in SCORES:
        found = score_interval(name, label, label, activation="softmax")
        assert found.estimate == (0 if name == "brier" else 1)
        assert 0.02 < found.high - found.low < 0.5


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        pytest.param("auroc", 3, "Did you mean `macro_auroc`", id="name"),
        pytest.param("brier", 2, r"\(60, 3\) and \(60, 2\)", id="shape"),
    ],
)
def test_refuses_what_cannot_be_scored(name, columns, message):
    prob, label = case()
    with pytest.raises(ValueError, match=message):
        score_interval(name, prob, label[:, :columns], activation="softmax")


def test_refuses_a_model_that_has_diverged():
    prob, label = case()
    prob[3] = np.nan
    with pytest.raises(ValueError, match="got 1 images with NaN"):
        score_difference("accuracy", case()[0], prob, label, activation="softmax")
    label[3] = np.nan  # but nobody asks what it says of an image without a label
    score_interval("accuracy", prob, label, activation="softmax")
