# SPDX-License-Identifier: Apache-2.0
"""Intervals, paired differences and drops of scores: against closed forms, SciPy, and DeLong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import (
    SCORES,
    auroc_and_influence,
    auroc_difference,
    auroc_interval,
    proportion_interval,
    score_difference,
    score_drop,
    score_interval,
)
from monai_kd.metrics.uncertainty import spread, student_quantile


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
    with pytest.raises(ValueError, match=r"`prob` must be in \[0, 1\], got 3 values that are NaN"):
        score_difference("accuracy", case()[0], prob, label, activation="softmax")
    label[3] = np.nan  # but nobody asks what it says of an image without a label
    score_interval("accuracy", prob, label, activation="softmax")


@pytest.mark.parametrize(
    ("prob", "label", "message"),
    [
        pytest.param([0.9, 0.2, 0.8], [1, 0, -1], "`label` must be 0, 1, or NaN", id="label"),
        pytest.param([3.0, -2.0, 0.1], [1, 0, 1], r"must be in \[0, 1\], got 2", id="logits"),
        pytest.param([0.9, 0.2], [1, 0, 1], r"\(2,\) and \(3,\)", id="length"),
    ],
)
@pytest.mark.parametrize("name", SCORES)
def test_refuses_what_is_no_probability_and_no_label(name, prob, label, message):
    with pytest.raises(ValueError, match=message):
        score_interval(name, prob, label, activation="sigmoid")
    with pytest.raises(ValueError, match=message):
        score_difference(name, prob, prob, label, activation="sigmoid")
    with pytest.raises(ValueError, match=message):
        score_drop(name, (prob, label, None), (prob, label, None), activation="sigmoid")


def test_a_recall_without_spread_does_not_make_balanced_accuracy_certain():
    # Sensitivity 0 of 5 (exact upper limit 1 - 0.025^(1/5)), specificity 92 of 95.
    label = np.repeat([1.0, 0.0], [5, 95])
    prob = np.r_[np.full(5, 0.2), np.full(3, 0.7), np.full(92, 0.1)]
    found = score_interval("balanced_accuracy", prob, label, activation="sigmoid")
    assert found.estimate == pytest.approx(92 / 95 / 2)
    assert found.high - found.estimate > (1 - 0.025**0.2) / 2
    assert found.high == pytest.approx(found.estimate + (1 - 0.025**0.2) / 2, abs=0.01)
    yes = score_interval("balanced_accuracy", [0.9] * 4, [1, 1, 0, 0], activation="sigmoid")
    doubt = (1 - 0.025**0.5) / 2
    assert yes == pytest.approx((0.5, 0.5 - doubt, 0.5 + doubt))


@pytest.mark.parametrize("name", ["macro_auroc", "macro_auprc", "macro_f1"])
def test_a_perfect_finding_does_not_make_the_mean_certain(name):
    label = np.tile([1.0, 1.0, 0.0, 0.0], 10)
    noise = np.random.default_rng(0).random(40)
    both = [np.stack([label, noise], 1), np.stack([label, label], 1)]
    found = score_interval(name, *both, activation="sigmoid")
    alone = score_interval(name, noise, label, activation="sigmoid")
    perfect = score_interval(name, label, label, activation="sigmoid")
    assert perfect.low == pytest.approx(0.025 ** (1 / 20))
    assert found.estimate - found.low > (1 - perfect.low) / 2
    assert found.high - found.estimate < alone.high - alone.estimate  # up, it cannot go
    opposite = [np.stack([label, 1 - label], 1), np.stack([label, label], 1)]
    found = score_interval("macro_auroc", *opposite, activation="sigmoid")
    assert found.high - found.low == pytest.approx(1 - perfect.low)


def test_a_perfect_score_rests_on_the_patients_of_the_smaller_class():
    label = np.repeat([1.0, 0.0], [5, 45])
    found = score_interval("macro_auroc", label, label, activation="sigmoid")
    assert found == pytest.approx((1, 0.025 ** (1 / 5), 1))


def test_two_perfect_models_are_not_equal_for_certain():
    label = np.repeat([1.0, 0.0], [5, 45])
    prob = 0.1 + 0.8 * label
    other = prob + 0.05 * np.random.default_rng(0).random(50)
    for name in ("macro_auroc", "macro_auprc", "balanced_accuracy", "accuracy", "macro_f1"):
        found = score_difference(name, prob, other, label, activation="sigmoid")
        assert found.estimate == 0
        assert found.p_value == 1
        assert found.high == pytest.approx(-found.low)
        assert found.high > 0.05


def test_models_that_decide_alike_may_differ_elsewhere():
    prob, label = (part[:, 0] for part in case(50))
    other = np.where(prob >= 0.5, (prob + 1) / 2, prob / 2)
    found = score_difference("accuracy", prob, other, label, activation="sigmoid")
    assert found == pytest.approx((0, -(1 - 0.025**0.02), 1 - 0.025**0.02, 1))


def test_the_level_reaches_every_limit_but_not_the_p_value():
    prob, label = [0.9, 0.8, 0.7, 0.1, 0.2, 0.3], [1, 1, 1, 0, 0, 0]
    best, worst = (prob, label, None), (prob[::-1], label, None)
    for name in ("macro_auroc", "balanced_accuracy"):
        drops = [
            score_drop(name, best, worst, activation="sigmoid", level=level)
            for level in (0.8, 0.95, 0.99)
        ]
        gains = [
            score_difference(name, prob, prob[::-1], label, activation="sigmoid", level=level)
            for level in (0.8, 0.95, 0.99)
        ]
        for found in (drops, gains):
            assert found[0].low > found[1].low > found[2].low
            assert len({one.p_value for one in found}) == 1


def test_the_degrees_of_freedom_of_a_drop_are_those_of_welch():
    # Brier is a mean over images: Welch's t interval from the two groups' spreads.
    home, away = case(200), case(8, seed=1)
    drop = score_drop(
        "brier", (home[0][:, 0], home[1][:, 0], None), (away[0][:, 0], away[1][:, 0], None),
        activation="sigmoid",
    )  # fmt: skip
    squares = [np.square(part[0][:, 0] - part[1][:, 0]) for part in (home, away)]
    errors, dfs = [], []
    for values in squares:
        count = len(values)
        moved = (values - values.mean()) / count / (1 - 1 / count)
        error, df = spread(moved, np.arange(count))
        errors.append(error)
        dfs.append(df)
    error = math.hypot(*errors)
    df = error**4 / sum(e**4 / d for e, d in zip(errors, dfs, strict=True))
    assert df < 10
    assert drop.high - drop.estimate == pytest.approx(student_quantile(0.95, df) * error)


@pytest.mark.parametrize(("sick", "power"), [(5, 1.0), (12, 0.5)])
def test_with_few_patients_of_a_class_two_models_are_compared_by_the_jackknife(sick, power):
    label = (np.arange(60) < sick).astype(float)
    prob, other = np.clip(np.random.default_rng(0).normal(0.4 + 0.2 * label, 0.2, (2, 60)), 0, 1)
    found = score_difference("macro_auroc", prob, other, label, activation="sigmoid")
    raw = [
        auroc_and_influence(one, label, correct=lambda influence, _: influence)[1]
        for one in (prob, other)
    ]
    moved = raw[0] - raw[1]
    variances = [
        np.square(moved[label == value]).sum() / (1 - 1 / cases) ** (2 * power)
        for value, cases in ((1, sick), (0, 60 - sick))
    ]
    error, df = math.sqrt(sum(variances)), spread(moved, np.arange(60))[1]
    welch = sum(variances) ** 2 / sum(
        v**2 / m for v, m in zip(variances, (sick - 1, 59 - sick), strict=True)
    )
    assert found.high - found.estimate == pytest.approx(
        student_quantile(0.95, min(df, welch)) * error, rel=0.01
    )
    assert found == pytest.approx(auroc_difference(prob, other, label))


def test_a_difference_of_scores_stays_between_minus_one_and_one():
    label = np.array([1, 0, 1, 0.0])
    found = score_difference(
        "macro_auroc",
        np.array([0.9, 0.2, 0.4, 0.6]),
        np.array([0.3, 0.7, 0.6, 0.1]),
        label,
        activation="sigmoid",
    )
    assert -1 <= found.low <= found.estimate <= found.high <= 1
    assert (found.low, found.high) != (found.estimate, found.estimate)
