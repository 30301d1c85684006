# SPDX-License-Identifier: Apache-2.0
"""AUROC and its interval: against brute force, scikit-learn, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import auroc_and_influence, auroc_difference, auroc_interval
from monai_kd.metrics.uncertainty import spread, student_quantile


def case(n=40, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(float)
    prob = rng.random(n) * 0.6 + 0.3 * label
    return (np.round(prob, 1) if ties else prob), label


def brute_force(prob, label):
    """DeLong's components by comparing every pair."""
    x, y = prob[label == 1], prob[label == 0]
    won = (x[:, None] > y).astype(float) + 0.5 * (x[:, None] == y)
    variance = won.mean(1).var(ddof=1) / len(x) + won.mean(0).var(ddof=1) / len(y)
    return won.mean(), variance


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_and_variance_equal_the_comparison_of_all_pairs(ties):
    prob, label = case(ties=ties)
    auroc, influence = auroc_and_influence(prob, label)
    expected, variance = brute_force(prob, label)
    assert auroc == pytest.approx(expected, abs=1e-12)
    assert np.square(influence).sum() == pytest.approx(variance, rel=1e-10)


def test_auroc_equals_scikit_learn_with_unknown_labels_left_out():
    from sklearn.metrics import roc_auc_score

    prob, label = case(200, ties=True)
    unknown = np.arange(200) % 5 == 0
    masked = np.where(unknown, np.nan, label)
    assert auroc_and_influence(prob, masked)[0] == pytest.approx(
        roc_auc_score(label[~unknown], prob[~unknown]), abs=1e-12
    )


def test_the_interval_is_that_of_the_jackknife_symmetric_on_the_logit_scale():
    prob, label = case()
    estimate, low, high = auroc_interval(prob, label)
    auroc, variance = brute_force(prob, label)
    moved = [auroc - brute_force(np.delete(prob, i), np.delete(label, i))[0] for i in range(40)]
    error, df = spread(np.array(moved), np.arange(40))
    sums = [np.square(np.array(moved)[label == value]).sum() for value in (0, 1)]
    cases = [(label == value).sum() - 1 for value in (0, 1)]
    welch = sum(sums) ** 2 / sum(v**2 / m for v, m in zip(sums, cases, strict=True))
    df = min(df, welch)
    step = student_quantile(0.95, df) * error / (auroc * (1 - auroc))
    logit = math.log(auroc / (1 - auroc))
    assert estimate == pytest.approx(auroc)
    assert low == pytest.approx(1 / (1 + math.exp(step - logit)))
    assert high == pytest.approx(1 / (1 + math.exp(-step - logit)))
    assert error == pytest.approx(math.sqrt(variance), rel=0.05)  # a little above DeLong's


def test_a_patient_per_image_changes_nothing_and_copied_images_do_not_narrow_the_interval():
    prob, label = case()
    alone = auroc_interval(prob, label)
    assert auroc_interval(prob, label, patient_id=range(40)) == pytest.approx(alone)
    copied = auroc_interval(
        np.repeat(prob, 3), np.repeat(label, 3), patient_id=np.repeat(range(40), 3)
    )
    assert copied == pytest.approx(alone)


@pytest.mark.parametrize("flip", [False, True])
def test_perfect_separation_is_not_certainty(flip):
    label = np.repeat([0.0, 1.0], [30, 10])
    prob = 1 - label if flip else label
    bound = 0.025**0.1  # Clopper-Pearson, 10 of 10
    expected = (0.0, 0.0, 1 - bound) if flip else (1.0, bound, 1.0)
    assert auroc_interval(prob, label) == pytest.approx(expected)


def test_perfect_separation_counts_patients_not_images():
    label = np.repeat([0.0, 1.0], [30, 10])
    patient = np.r_[np.arange(30), np.repeat([30, 31], 5)]
    assert auroc_interval(label, label, patient_id=patient).low == pytest.approx(0.025**0.5)


def test_a_class_that_is_absent_gives_nan_and_one_image_no_limits():
    assert all(math.isnan(value) for value in auroc_interval([0.1, 0.2], [0, 0]))
    single = auroc_interval([0.1, 0.5, 0.3], [0, 0, 1])
    assert single.estimate == 0.5
    assert math.isnan(single.low)


def test_the_mean_over_findings_leaves_out_what_is_undefined():
    prob, label = case()
    both = auroc_interval(np.stack([prob, prob], 1), np.stack([label, np.zeros(40)], 1))
    assert both == pytest.approx(auroc_interval(prob, label))
    twice = auroc_interval(np.stack([prob, prob], 1), np.stack([label, label], 1))
    assert twice == pytest.approx(auroc_interval(prob, label))  # the same finding is no new fact


def test_the_paired_difference_equals_the_variance_of_paired_components():
    prob, label = case()
    other = prob + np.random.default_rng(1).normal(0, 0.2, 40)
    won = [(p[label == 1][:, None] > p[label == 0]).astype(float) for p in (prob, other)]
    apart = won[0] - won[1]
    variance = apart.mean(1).var(ddof=1) / len(apart) + apart.mean(0).var(ddof=1) / apart.shape[1]
    difference = auroc_difference(prob, other, label)
    assert difference.estimate == pytest.approx(apart.mean())
    error, df = spread(
        auroc_and_influence(prob, label)[1] - auroc_and_influence(other, label)[1], np.arange(40)
    )
    assert error == pytest.approx(math.sqrt(variance), rel=1e-10)
    assert difference.high - difference.estimate == pytest.approx(
        student_quantile(0.95, df) * error
    )
    assert auroc_difference(prob, prob, label) == (0, 0, 0, 1)


@pytest.mark.parametrize("per_patient", [1, 3])
def test_the_interval_holds_the_truth_as_often_as_it_says(per_patient):
    rng, hits, runs = np.random.default_rng(0), 0, 800
    truth = 0.5 * (1 + math.erf(1.2 / math.sqrt(2) / math.sqrt(2)))  # binormal, shift 1.2 SD
    patients = 66
    for _ in range(runs):
        sick = rng.random(patients) < 0.5
        own = rng.normal(0, math.sqrt(0.5 if per_patient > 1 else 0), patients)
        noise = rng.normal(0, math.sqrt(0.5 if per_patient > 1 else 1), (patients, per_patient))
        score = (1.2 * sick + own)[:, None] + noise
        label = np.repeat(sick[:, None], per_patient, 1).astype(float)
        who = np.repeat(np.arange(patients), per_patient)
        _, low, high = auroc_interval(score.ravel(), label.ravel(), patient_id=who)
        hits += low <= truth <= high
    assert 0.925 <= hits / runs <= 0.975  # 95% +- 3 standard errors of 800 runs


@pytest.mark.parametrize(
    ("prob", "label", "message"),
    [
        pytest.param([math.nan, 0.2, 0.8], [1, 0, 1], "`prob` must be numbers, got 1", id="nan"),
        pytest.param([0.5, 0.2, 0.8], [1, 0, -1], "`label` must be 0, 1, or NaN", id="label"),
        pytest.param([0.5, 0.2], [1, 0, 1], r"same shape.*\(2,\) and \(3,\)", id="length"),
    ],
)
def test_refuses_what_has_no_rank_or_no_class(prob, label, message):
    with pytest.raises(ValueError, match=f"auroc_interval: .*{message}"):
        auroc_interval(prob, label)
    with pytest.raises(ValueError, match=f"auroc_difference: .*{message}"):
        auroc_difference(prob, prob, label)
    with pytest.raises(ValueError, match=f"auroc_and_influence: .*{message}"):
        auroc_and_influence(prob, label)


def test_one_positive_patient_gives_no_limits_even_where_all_is_right():
    found = auroc_interval([0.9, 0.1, 0.2, 0.3], [1, 0, 0, 0])
    assert found.estimate == 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)
