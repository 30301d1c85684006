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
    bootstrap_gain,
    bootstrap_share,
    patient_numbers,
)
from monai_kd.metrics.bootstrap_auroc import _mean_auroc
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


def share_of(value):
    """The mean over patients, as a function of counts."""
    value = np.asarray(value, float)
    return lambda count: count @ value / count.sum(axis=1)


def everyone(patients):
    return [np.arange(patients)]


def test_the_mean_of_a_sample_gets_the_interval_of_the_t_test():
    value = np.random.default_rng(0).random(25)
    ours = bootstrap_gain(
        share_of(value), share_of(np.full(25, 0.4)), 25, few=everyone(25), resamples=20_000
    )
    theirs = stats.ttest_1samp(value, 0.4)
    low, high = theirs.confidence_interval()
    assert ours[1:3] == pytest.approx([low - 0.4, high - 0.4], abs=0.003)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.005)


def test_degrees_of_freedom_are_of_the_smaller_class_and_fewer_when_one_patient_decides():
    patients, few = 60, np.arange(6)
    value = np.random.default_rng(0).random(6)
    counted = np.append(value, np.zeros(54))

    def share(count):
        return count @ counted / np.maximum(count[:, :6].sum(axis=1), 1)

    error = bootstrap(share, patients, resamples=4000).std(ddof=1) * math.sqrt(60 / 59)
    low, high = bootstrap_share(share, patients, few=[few], resamples=4000)[1:]
    p = value.mean()
    steps = (math.log(high / (1 - high)) - math.log(low / (1 - low))) / 2 * p * (1 - p) / error
    assert steps == pytest.approx(stats.t.ppf(0.975, 5), rel=0.02)  # not 59
    uneven = share_of([0.9] + [0.1] * 29)
    even = share_of([0.9, 0.1] * 15)
    reach = [np.ptp(bootstrap_share(f, 30, few=everyone(30))[1:]) for f in (uneven, even)]
    assert reach[0] > reach[1] / 2  # a tenth of the variance, but only one patient to see it


def test_an_interval_is_symmetric_on_the_logit_scale_and_ignores_undefined_resamples():
    value = np.random.default_rng(0).random(40)

    def undefined_without_the_first(count):
        return np.where(count[:, 0] > 0, share_of(value)(count), np.nan)

    for statistic in (share_of(value), undefined_without_the_first):
        ours = bootstrap_share(statistic, 40, few=everyone(40))
        low, middle, high = (math.log(p / (1 - p)) for p in (ours.low, value.mean(), ours.high))
        assert middle - low == pytest.approx(high - middle)


def test_one_patient_of_a_class_has_no_limits():
    value = np.random.default_rng(0).random(40)
    assert np.isnan(bootstrap_share(share_of(value), 40, few=[np.array([3])])[1:]).all()
    zero = share_of(np.zeros(40))
    ours = bootstrap_gain(share_of(value), zero, 40, few=[np.arange(9), np.array([3])])
    assert ours.estimate == pytest.approx(value.mean())
    assert np.isnan(ours[1:]).all()
    assert ours.verdict == "not shown"


def test_the_p_value_and_the_interval_agree():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 30))
    ours = bootstrap_gain(share_of(one), share_of(other), 30, few=everyone(30))
    edge = bootstrap_gain(
        share_of(one), share_of(other), 30, few=everyone(30), level=1 - ours.p_value
    )
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)


def test_a_difference_that_no_resample_moves_is_no_certainty():
    all_found, none_found = share_of(np.ones(2)), share_of(np.zeros(2))
    ours = bootstrap_gain(all_found, none_found, 2, few=everyone(2))
    assert ours[:3] == pytest.approx((1, 1 - math.sqrt(2) * (1 - 0.025**0.5), 1))
    assert ours.verdict == "not shown"
    assert ours.p_value > 0.05
    many = bootstrap_gain(share_of(np.ones(20)), share_of(np.zeros(20)), 20, few=everyone(20))
    assert many.verdict == "gain shown"
    third = share_of(np.full(30, 1 / 3))  # its resamples differ by rounding
    assert bootstrap_gain(third, third, 30, few=everyone(30)) == (0, 0, 0, 1)
    assert bootstrap_gain(share_of(np.full(30, 0.4)), third, 30, few=everyone(30)).p_value > 0.05


def test_a_share_that_no_resample_moves_has_wilsons_limits():
    ours = bootstrap_share(share_of(np.full(3, 1 / 3)), 3, few=everyone(3))
    wilson = stats.binomtest(1, 3).proportion_ci(method="wilson")
    assert ours == pytest.approx((1 / 3, wilson.low, wilson.high))


@pytest.mark.parametrize(("value", "expected"), [(1.0, (0.25, 1)), (0.0, (0, 0.75))])
def test_a_share_of_all_or_nothing_gets_the_binomial_limit(value, expected):
    few = [np.arange(3), np.arange(1)]
    ours = bootstrap_share(lambda count: np.full(len(count), value), 10, few=few, level=0.5)
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
    ours = bootstrap_auroc([0.1, 0.5, 0.4, 0.3, 0.6, 0.2], [0, 0, 1, 0, 1, 0])
    assert ours.estimate == pytest.approx(7 / 8)
    assert 0 < ours.low < ours.high < 1


def test_one_positive_patient_has_no_limits_as_in_the_closed_form():
    prob, label = np.random.default_rng(0).random(60), np.arange(60) == 7
    for call in (bootstrap_auroc, auroc_interval):
        assert np.isnan(call(prob, label)[1:]).all()
    label = label | (np.arange(60) == 8)
    assert np.isnan(bootstrap_auroc(prob, label, patient_id=np.arange(60) // 10)[1:]).all()
    ours = bootstrap_auroc_difference([0.9, 0.1], [0.1, 0.9], [1, 0])
    assert ours.verdict == "not shown"


def test_a_resample_counts_the_findings_that_it_has():
    rng = np.random.default_rng(0)
    label = np.zeros((200, 14))
    for column in range(14):
        label[rng.choice(200, 3, replace=False), column] = 1
    prob = rng.random((200, 14)) + 0.3 * label
    mean, few = _mean_auroc(prob, label, np.arange(200), 200)
    values = bootstrap(mean, 200, resamples=500)
    assert not np.isnan(values).any()
    assert [len(part) for part in few] == [3] * 14
    spread = [
        bootstrap(_mean_auroc(prob[:, [c]], label[:, [c]], np.arange(200), 200)[0], 200)
        for c in range(14)
    ]
    apart = math.sqrt(sum(np.nanvar(part) for part in spread)) / 14
    assert values.std() == pytest.approx(apart, rel=0.15)


def test_a_blank_patient_id_is_a_patient_of_its_own():
    assert patient_numbers(["a", "", None, "a"], 4)[1] == 3


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
        (lambda: bootstrap_auroc([0, 1, 0], [0, 1, 1], level=1.5), r"in \(0, 1\), got 1.5"),
        (lambda: bootstrap_auroc([0, 1], [0, 1], level=0), r"in \(0, 1\), got 0"),
        (
            lambda: bootstrap_auroc_difference([0, 1], [1, 0], [0, 1], level=95),
            r"in \(0, 1\), got 95",
        ),
        (lambda: bootstrap_auroc([], []), "at least one image"),
        (lambda: bootstrap_auroc([0.5], [[1]]), r"got \(1,\) and \(1, 1\)"),
        (lambda: bootstrap_auroc([np.nan, 1], [1, 0]), "must hold numbers, got 1 that are NaN"),
        (lambda: bootstrap_auroc([1, 0], [1, 0], patient_id=["a"]), "per image, 2, got 1"),
    ],
)
def test_refuses_what_cannot_be_resampled(call, message):
    with pytest.raises(ValueError, match=message):
        call()
