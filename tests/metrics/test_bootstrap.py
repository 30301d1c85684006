# SPDX-License-Identifier: Apache-2.0
"""Bootstrap: what is drawn, the limits from it, and AUROC against scikit-learn on each resample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from monai_kd.metrics import auroc_interval, bootstrap_auroc, bootstrap_auroc_difference
from monai_kd.metrics.bootstrap import (
    bootstrap,
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_share,
    patient_numbers,
)
from monai_kd.metrics.weighted_auroc import Cases, weighted_auroc


def case(images=80, seed=0, digits=6, per_patient=2):
    rng = np.random.default_rng(seed)
    label = (rng.random(images) < 0.4).astype(float)
    prob = (0.6 * rng.random(images) + 0.3 * label).round(digits)
    return prob, label, (np.arange(images) // per_patient).tolist()


def test_every_resample_draws_as_many_patients_as_there_are():
    counts = bootstrap(lambda count: count, 50, resamples=3000)
    assert counts.shape == (3000, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    assert counts.var(axis=0).mean() == pytest.approx(1 - 1 / 50, abs=0.02)  # multinomial


def test_the_seed_alone_decides_not_the_threads(monkeypatch):
    def first(count):
        return count[:, 0]

    one = bootstrap(first, 100_000, resamples=9, seed=3)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert bootstrap(first, 100_000, resamples=9, seed=3).tolist() == one.tolist()
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert bootstrap(first, 100_000, resamples=9, seed=3).tolist() == one.tolist()
    assert bootstrap(first, 100_000, resamples=9, seed=4).tolist() != one.tolist()


def test_the_mean_of_a_sample_gets_the_interval_of_the_t_test():
    value = np.random.default_rng(0).random(25)
    values = bootstrap(lambda count: count @ value / 25, 25, resamples=20_000)
    ours = bootstrap_difference(value.mean() - 0.4, values - 0.4, patients=25)
    theirs = stats.ttest_1samp(value, 0.4)
    low, high = theirs.confidence_interval()
    assert ours[1:3] == pytest.approx([low - 0.4, high - 0.4], abs=0.003)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.005)


def test_an_interval_is_symmetric_on_the_logit_scale_and_ignores_undefined_resamples():
    values = np.random.default_rng(0).normal(0.9, 0.05, 500)
    ours = bootstrap_interval(0.9, values, patients=40)
    low, middle, high = (math.log(p / (1 - p)) for p in (ours.low, 0.9, ours.high))
    assert middle - low == pytest.approx(high - middle)
    assert bootstrap_interval(0.9, np.append(values, np.nan), patients=40) == ours
    assert np.isnan(bootstrap_interval(0.9, values, patients=1)[1:]).all()
    assert np.isnan(bootstrap_difference(0.1, np.full(9, np.nan), patients=9)[1:]).all()


def test_the_p_value_and_the_interval_agree():
    values = np.random.default_rng(0).normal(0, 1, 400)
    edge = bootstrap_difference(0.0, values, patients=30).high
    assert bootstrap_difference(edge, values, patients=30).p_value == pytest.approx(0.05)
    assert bootstrap_difference(0.0, np.zeros(5), patients=30) == (0, 0, 0, 1)
    assert bootstrap_difference(0.2, np.full(5, 0.2), patients=30) == (0.2, 0.2, 0.2, 0)


@pytest.mark.parametrize(("value", "expected"), [(1.0, (0.5, 1)), (0.0, (0, 0.5))])
def test_a_share_of_all_or_nothing_gets_the_binomial_limit(value, expected):
    ours = bootstrap_share(lambda count: np.full(len(count), value), 10, cases=1, level=0)
    assert ours[1:] == pytest.approx(expected)


@pytest.mark.parametrize("digits", [1, 6])
@pytest.mark.parametrize("per_patient", [1, 3])
def test_each_resample_has_the_weighted_auroc_of_scikit_learn(digits, per_patient):
    from sklearn.metrics import roc_auc_score

    prob, label, patient_id = case(digits=digits, per_patient=per_patient)
    patient, patients = patient_numbers(patient_id, len(prob))
    rows = [label == value for value in (1, 0)]
    statistic = weighted_auroc(*(Cases(prob[r], patient[r]) for r in rows))
    counts = bootstrap(lambda count: count, patients, resamples=20)
    expected = [roc_auc_score(label, prob, sample_weight=c[patient]) for c in counts]
    np.testing.assert_allclose(statistic(counts), expected, rtol=0, atol=1e-12)


def test_the_auroc_and_its_limits_are_near_those_of_delong():
    prob, label, patient_id = case(images=600)
    ours = bootstrap_auroc(prob, label, patient_id=patient_id)
    theirs = auroc_interval(prob, label, patient_id=patient_id)
    assert ours.estimate == pytest.approx(theirs.estimate, abs=1e-12)
    assert ours == pytest.approx(theirs, abs=0.004)


def test_findings_without_both_classes_and_unknown_labels_are_left_out():
    prob, label, patient_id = case()
    label[3] = np.nan
    both = np.stack([label, np.zeros(80)], 1)
    ours = bootstrap_auroc(np.stack([prob, prob], 1), both, patient_id=patient_id)
    assert ours == bootstrap_auroc(prob, label, patient_id=patient_id)
    assert np.isnan(bootstrap_auroc(prob, np.zeros(80))).all()
    assert np.isnan(bootstrap_auroc_difference(prob, prob, np.zeros(80))).all()


def test_resamples_without_a_class_are_left_out():
    ours = bootstrap_auroc([0.1, 0.5, 0.4, 0.3], [0, 0, 1, 0])
    assert ours.estimate == pytest.approx(2 / 3)
    assert 0 < ours.low < ours.high < 1


def test_perfect_separation_counts_patients():
    one = bootstrap_auroc([0.1, 0.2, 0.3, 0.8, 0.9, 0.95], [0, 0, 0, 1, 1, 1])
    assert one == pytest.approx((1, 0.025 ** (1 / 3), 1))
    two = bootstrap_auroc([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], patient_id=list("aabb"))
    assert two == pytest.approx((1, 0.025, 1))


def test_the_difference_is_paired():
    prob, label, patient_id = case(images=400)
    same = bootstrap_auroc_difference(prob, prob, label)
    assert same == (0, 0, 0, 1)
    worse = prob + np.random.default_rng(1).normal(size=400) * 0.2
    ours = bootstrap_auroc_difference(prob, worse, label, patient_id=patient_id)
    assert ours.verdict == "gain shown"
    single = [bootstrap_auroc(p, label, patient_id=patient_id) for p in (prob, worse)]
    assert ours.estimate == pytest.approx(single[0].estimate - single[1].estimate)
    assert ours.high - ours.low < math.hypot(*(s.high - s.low for s in single))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap(len, 0), "`patients` must be at least 1, got 0"),
        (lambda: bootstrap(len, 5, resamples=0), "`resamples` must be at least 1, got 0"),
        (lambda: bootstrap_auroc([], []), "at least one image"),
        (lambda: bootstrap_auroc([0.5], [[1]]), r"got \(1,\) and \(1, 1\)"),
        (lambda: bootstrap_auroc([np.nan, 1], [1, 0]), "must hold numbers, got 1 that are NaN"),
        (lambda: bootstrap_auroc([1, 0], [1, 0], patient_id=["a"]), "per image, 2, got 1"),
    ],
)
def test_refuses_what_cannot_be_resampled(call, message):
    with pytest.raises(ValueError, match=message):
        call()
