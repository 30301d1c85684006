# SPDX-License-Identifier: Apache-2.0
"""The calibration block of a summary: Brier and reliability against scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from monai_kd.metrics import (
    apply_temperature,
    brier_score,
    calibration_summary,
    expected_calibration_error,
    reliability_curve,
)


def case(n=200, seed=0):
    """Two findings of which one is true, said too surely."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 1.5, n)
    label = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    prob = 1 / (1 + np.exp(-2 * logit))
    return np.c_[1 - prob, prob], np.c_[1 - label, label]


def summary(prob, label, **changed):
    settings = {"activation": "softmax", "findings": ["no", "yes"]} | changed
    return calibration_summary(prob, label, **settings)


def test_brier_equals_scikit_learn():
    from sklearn.metrics import brier_score_loss

    prob, label = case()
    expected = brier_score_loss(label[:, 1], prob[:, 1])
    assert brier_score(prob, label).estimate == pytest.approx(expected, abs=1e-12)
    one = brier_score(prob[:, 1], label[:, 1])
    assert one.low < one.estimate < one.high
    assert one.estimate == pytest.approx(expected)


def test_the_reliability_curve_equals_scikit_learn():
    from sklearn.calibration import calibration_curve

    prob, label = case()
    share, said = calibration_curve(label[:, 1], prob[:, 1], n_bins=10, strategy="quantile")
    curve = reliability_curve(prob[:, 1], label[:, 1])
    assert curve["share"] == pytest.approx(share.tolist())
    assert curve["mean_prob"] == pytest.approx(said.tolist())
    assert curve["n"] == [20] * 10


def test_the_limits_of_a_bin_are_wilsons():
    from scipy.stats import binomtest

    prob, label = case()
    curve = reliability_curve(prob[:, 1], label[:, 1])
    for share, low, high in zip(curve["share"], curve["low"], curve["high"], strict=True):
        wilson = binomtest(round(share * 20), 20).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((wilson.low, wilson.high))


def test_patients_with_several_images_widen_the_limits():
    prob, label = (np.repeat(part, 3, axis=0) for part in case())
    who = np.repeat(np.arange(200), 3)
    alone, grouped = summary(prob, label), summary(prob, label, patient_id=who)
    for key in ("ece_ci", "brier_ci"):
        width = [one[key][1] - one[key][0] for one in (alone, grouped)]
        assert width[1] > 1.3 * width[0]
    assert grouped["reliability"]["yes"]["low"][5] < alone["reliability"]["yes"]["low"][5]


def test_the_summary_says_what_the_functions_say_and_is_json():
    prob, label = case()
    told = summary(prob, label, temperature=2.0)
    cooled = apply_temperature(prob, 2.0, activation="softmax")
    assert told["ece"] == pytest.approx(expected_calibration_error(prob, label).estimate)
    assert told["ece_scaled"] == pytest.approx(expected_calibration_error(cooled, label).estimate)
    assert told["brier_scaled"] == pytest.approx(brier_score(cooled, label).estimate)
    assert told["ece_scaled"] < told["ece"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_without_a_temperature_nothing_is_scaled():
    told = summary(*case())
    assert [told[key] for key in ("temperature", "ece_scaled", "brier_scaled")] == [None] * 3


def test_without_a_known_label_nothing_is_said():
    prob, label = case()
    told = summary(prob, np.full_like(label, math.nan), temperature=2.0)
    assert told["ece"] is told["ece_ci"] is told["brier"] is told["ece_scaled"] is None
    assert told["reliability"]["yes"]["n"] == []
    json.dumps(told, allow_nan=False)


def test_a_softmax_row_with_an_unknown_label_is_left_out_as_a_whole():
    prob, label = case()
    partly = label.copy()
    partly[:20, 0] = math.nan
    assert summary(prob, partly)["brier"] == pytest.approx(summary(prob[20:], label[20:])["brier"])


def test_bad_input_is_one_clear_sentence():
    prob, label = case()
    with pytest.raises(ValueError, match=r"^calibration_summary: `prob` must be in \[0, 1\]"):
        summary(prob * 3, label)
    with pytest.raises(ValueError, match=r"`activation` must be one of softmax, sigmoid"):
        summary(prob, label, activation="none")
    with pytest.raises(ValueError, match=r"`findings` must name the 2 columns, got 1"):
        summary(prob, label, findings=["no"])
