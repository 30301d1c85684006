# SPDX-License-Identifier: Apache-2.0
"""Thresholds by brute force over all of them, shares by counting and by SciPy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from monai_kd.metrics import choose_threshold, operating_point, operating_points


def case(n=120, seed=0, decimals=2):
    """Scores with ties, and one label in ten unknown."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(float)
    prob = np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1).round(decimals)
    label[rng.random(n) < 0.1] = math.nan
    return prob, label


def shares(prob, label, threshold):
    said = prob >= threshold
    return said[label == 1].mean(), (~said)[label == 0].mean()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("value", [0.5, 0.8, 0.95, 1.0])
def test_sensitivity_takes_the_largest_threshold_that_reaches_it(seed, value):
    prob, label = case(seed=seed)
    reach = [t for t in np.unique(prob) if shares(prob, label, t)[0] >= value]
    assert choose_threshold(prob, label, goal="sensitivity", value=value) == max(reach)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("value", [0.5, 0.8, 0.95, 1.0])
def test_specificity_takes_the_smallest_threshold_that_reaches_it(seed, value):
    prob, label = case(seed=seed)
    known = np.unique(prob[~np.isnan(label)])
    reach = [t for t in known if shares(prob, label, t)[1] >= value]
    assert choose_threshold(prob, label, goal="specificity", value=value) == min(
        reach, default=np.nextafter(known.max(), 2)
    )


@pytest.mark.parametrize("seed", range(5))
def test_youden_takes_the_best_sum(seed):
    prob, label = case(seed=seed)
    best = max(sum(shares(prob, label, t)) for t in np.unique(prob))
    threshold = choose_threshold(prob, label, goal="youden")
    assert sum(shares(prob, label, threshold)) == pytest.approx(best)


def test_a_negative_above_all_positives_can_still_be_cleared():
    threshold = choose_threshold([0.2, 0.9], [1, 0], goal="specificity", value=1)
    assert 0.9 < threshold < 0.9 + 1e-9


def test_nineteen_of_twenty_are_95_percent():
    prob = np.arange(1, 21) / 100
    assert choose_threshold(prob, np.ones(20), goal="sensitivity", value=0.95) == 0.02
    prob = np.arange(1, 101) / 100  # 0.55 * 100 is a little more than 55 to a computer
    assert choose_threshold(prob, np.ones(100), goal="sensitivity", value=0.55) == 0.46


def test_an_absent_class_gives_no_threshold():
    for goal in ("sensitivity", "youden"):
        assert math.isnan(choose_threshold([0.1, 0.2], [0, 0], goal=goal, value=0.9))


def test_the_counts_equal_scikit_learn_and_the_limits_are_wilsons():
    prob, label = case()
    row = operating_point(prob, label, 0.5)
    known = ~np.isnan(label)
    tn, fp, fn, tp = confusion_matrix(label[known], prob[known] >= 0.5).ravel()
    assert [row[key] for key in ("tn", "fp", "fn", "tp")] == [tn, fp, fn, tp]
    expected = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
    }
    for name, (right, cases) in expected.items():
        wilson = binomtest(int(right), int(cases)).proportion_ci(method="wilson")
        assert row[name] == pytest.approx(right / cases)
        assert row[f"{name}_ci"] == pytest.approx([wilson.low, wilson.high])


def test_patients_with_several_images_widen_the_limits():
    prob, label = (np.repeat(part, 3) for part in case())
    alone = operating_point(prob, label, 0.5)
    grouped = operating_point(prob, label, 0.5, patient_id=np.repeat(range(120), 3).tolist())
    for name in ("sensitivity_ci", "specificity_ci", "ppv_ci", "npv_ci"):
        width = [row[name][1] - row[name][0] for row in (alone, grouped)]
        assert width[1] > 1.5 * width[0]


def test_at_the_share_of_the_images_themselves_the_predictive_values_are_the_plain_ones():
    prob, label = case()
    share = (label == 1).sum() / (~np.isnan(label)).sum()
    row = operating_point(prob, label, 0.5, prevalence=float(share))
    assert row["ppv_at_prevalence"] == pytest.approx(row["ppv"])
    assert row["npv_at_prevalence"] == pytest.approx(row["npv"])
    assert row["prevalence"] == share


def test_without_a_prevalence_or_a_class_the_row_says_none():
    row = operating_point([0.9, 0.8], [1, 1], 0.5)
    empty = ["specificity", "specificity_ci", "npv", "prevalence", "ppv_at_prevalence"]
    assert [row[key] for key in empty] == [None] * 5
    row = operating_point([0.9, 0.8], [1, 1], 0.5, prevalence=0.1)
    assert row["ppv_at_prevalence"] is row["ppv_at_prevalence_ci"] is None
    json.dumps(row, allow_nan=False)


def test_rows_are_chosen_on_validation_and_judged_here():
    test, validation = case(seed=1), case(seed=2)
    table, other = (tuple(np.c_[1 - p, p] for p in section) for section in (test, validation))
    rows = operating_points(table, other, findings=["no", "yes"], prevalence={"yes": 0.05})
    assert [row["goal"] for row in rows[:3]] == ["sensitivity 0.95", "specificity 0.95", "youden"]
    row = rows[3]
    threshold = choose_threshold(*validation, goal="sensitivity", value=0.95)
    assert (row["finding"], row["threshold"]) == ("yes", threshold)
    assert row["sensitivity"] == pytest.approx(shares(*test, threshold)[0])
    assert row["validation"]["sensitivity"] == pytest.approx(shares(*validation, threshold)[0])
    assert row["validation"]["sensitivity"] >= 0.95
    assert (rows[0]["prevalence"], row["prevalence"]) == (None, 0.05)


def test_a_finding_that_validation_lacks_has_no_row():
    prob, label = (part[:, None] for part in case())
    assert operating_points((prob, label), (prob, label * 0), findings=["yes"]) == []


def test_bad_input_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"`goal` must be one of sensitivity, specificity, youden"):
        choose_threshold([0.1], [1], goal="accuracy")
    for value in (None, 0, 1.5):
        with pytest.raises(ValueError, match=rf"`value` must be in \(0, 1\], got {value}"):
            choose_threshold([0.1], [1], goal="sensitivity", value=value)
    with pytest.raises(ValueError, match=r"^operating_point: `prob` must hold at least one image"):
        operating_point([], [], 0.5)
    with pytest.raises(ValueError, match=r"`threshold` must be a number, got NaN"):
        operating_point([0.1], [1], math.nan)
    with pytest.raises(ValueError, match=r"`prevalence` must be in \(0, 1\), got 5"):
        operating_point([0.1], [1], 0.5, prevalence=5)


def test_patients_widen_the_predictive_values_at_a_prevalence_too():
    prob, label = (np.repeat(part, 3) for part in case())
    who = np.repeat(np.arange(len(prob) // 3), 3).tolist()
    wide = operating_point(prob, label, 0.5, patient_id=who, prevalence=0.1)
    narrow = operating_point(prob, label, 0.5, prevalence=0.1)
    for name in ("ppv_at_prevalence_ci", "npv_at_prevalence_ci"):
        assert np.ptp(wide[name]) > 1.4 * np.ptp(narrow[name])
