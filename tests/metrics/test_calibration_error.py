# SPDX-License-Identifier: Apache-2.0
"""The calibration error: against brute force, and its interval against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, ndtr

from monai_kd.metrics import expected_calibration_error
from monai_kd.metrics.calibration_error import bin_index

RUNS = 400
# By whether the model is too sure, and whether a bin has more than five images; +- 2.5 standard
# errors. Errors of a perfect model cannot be below 0, so that there it is cautious.
LIMITS = {
    (False, False): (0.95, 1.0),
    (False, True): (0.95, 1.0),
    (True, False): (0.84, 1.0),
    (True, True): (0.89, 0.98),
}


def case(n=200, findings=1, sure=1.0, seed=0, per_patient=1):
    """Labels that hang together by patient; ``sure`` 1 is a perfect model, 2 is too sure."""
    rng = np.random.default_rng(seed)
    who = np.arange(n) // per_patient
    logit, noise = rng.normal(size=(2, n, findings)) + rng.normal(size=(2, n, findings))[:, who]
    label = (ndtr(noise / math.sqrt(2)) < expit(logit)).astype(float)
    return expit(sure * logit), label, who


def brute_force(prob, label, bins):
    """One finding, distinct probabilities, as many images in each bin."""
    total = 0.0
    for part in np.array_split(np.argsort(prob), bins):
        total += len(part) / len(prob) * abs(prob[part].mean() - label[part].mean())
    return total


def test_the_error_equals_brute_force_over_sorted_images():
    prob, label, _ = case(200, findings=3, sure=2)
    each = [brute_force(prob[:, c], label[:, c], 10) for c in range(3)]
    assert expected_calibration_error(prob, label)[0] == pytest.approx(np.mean(each), abs=1e-12)
    assert expected_calibration_error(prob[:, 0], label[:, 0])[0] == pytest.approx(each[0])


def test_bins_of_width_equal_brute_force_over_intervals():
    prob, label, _ = case(300)
    total = 0.0
    for low in range(5):
        here = (prob >= low / 5) & (prob < (low + 1) / 5)
        total += here.mean() * abs(prob[here].mean() - label[here].mean()) if here.any() else 0
    error = expected_calibration_error(prob, label, bins=5, binning="width")
    assert error.estimate == pytest.approx(total, abs=1e-12)


def test_unknown_labels_are_left_out_and_so_is_a_finding_without_any():
    prob, label, _ = case(200)
    more = np.r_[prob, np.full((50, 1), 0.99)], np.r_[label, np.full((50, 1), math.nan)]
    expected = expected_calibration_error(prob, label).estimate
    assert expected_calibration_error(*more).estimate == pytest.approx(expected)
    wide = np.c_[prob, prob], np.c_[label, np.full_like(label, math.nan)]
    assert expected_calibration_error(*wide).estimate == pytest.approx(expected)
    nothing = expected_calibration_error(prob, np.full_like(label, math.nan))
    assert all(math.isnan(value) for value in nothing)


def test_equal_probabilities_share_a_bin_whatever_their_order():
    prob, label = np.repeat([0.2, 0.7], 50), np.tile([0.0, 1.0], 50)
    assert expected_calibration_error(prob, label).estimate == pytest.approx(0.25)
    order = np.random.default_rng(0).permutation(100)
    assert expected_calibration_error(prob[order], label[order]).estimate == pytest.approx(0.25)
    assert len(set(bin_index(np.full(30, 0.4), bins=10).tolist())) == 1
    assert bin_index(np.array([0.1, 0.5, 0.5, 0.5]), bins=2).tolist() == [0, 1, 1, 1]


def test_bins_of_mass_hold_as_many_images_each():
    index = bin_index(np.random.default_rng(0).random(100), bins=10)
    assert np.bincount(index).tolist() == [10] * 10
    assert bin_index(np.array([0.0, 0.55, 1.0]), bins=10, binning="width").tolist() == [0, 5, 9]


def test_a_perfect_model_may_have_an_error_of_zero_and_a_bad_one_may_not():
    prob, label, _ = case(300)
    assert expected_calibration_error(prob, label).low < 0.005
    worse = expected_calibration_error(np.clip(prob + 0.3, 0, 1), label)
    assert 0.1 < worse.low < worse.estimate < worse.high


def test_copied_images_do_not_narrow_the_interval():
    prob, label, who = case(200, sure=3)
    alone = expected_calibration_error(prob, label)
    copied = expected_calibration_error(
        np.repeat(prob, 4, 0), np.repeat(label, 4, 0), patient_id=np.repeat(who, 4)
    )
    assert copied == pytest.approx(alone, rel=1e-6)
    naive = expected_calibration_error(np.repeat(prob, 4, 0), np.repeat(label, 4, 0))
    assert naive.high - naive.low < 0.7 * (alone.high - alone.low)


def test_an_error_of_zero_is_not_certainty():
    label = np.repeat([0.0, 1.0], 50)
    estimate, low, high = expected_calibration_error(np.full(100, 0.5), label)
    assert (estimate, low) == pytest.approx((0, 0))
    assert high == pytest.approx(1.96 * 0.05, rel=0.25)  # 2.24 for the absolute value of a normal


def test_a_single_patient_gives_no_limits():
    prob, label, _ = case(20)
    error = expected_calibration_error(prob, label, patient_id=["a"] * 20)
    assert error.estimate > 0
    assert math.isnan(error.low)


def test_the_interval_is_the_same_each_time():
    prob, label, _ = case(100)
    assert expected_calibration_error(prob, label) == expected_calibration_error(prob, label)


def test_bins_and_binning_are_checked():
    with pytest.raises(ValueError, match=r"`bins` must be at least 1, got 0"):
        expected_calibration_error([0.1, 0.2], [0, 1], bins=0)
    with pytest.raises(ValueError, match=r"`binning` must be one of mass, width"):
        expected_calibration_error([0.1, 0.2], [0, 1], binning="equal")


def test_labels_that_are_all_alike_prove_little():
    for prob, label in (
        ([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1]),
        ([0.02] * 10, [0] * 10),
        (np.linspace(0.01, 0.3, 20), [0] * 20),
    ):
        error = expected_calibration_error(prob, label)
        assert error.high - error.low > 0.1
    many = expected_calibration_error([0.002] * 1000, [0] * 1000)
    assert many.high < 0.01


def test_a_bin_of_one_label_has_the_variance_of_agresti_and_coull():
    # One bin, ten images without the finding: a share of 2 / 14 of them, ten times.
    error = expected_calibration_error([0.3] * 10, [0] * 10, bins=1)
    step = 1.96 * math.sqrt(2 / 14 * 12 / 14 / 10)
    assert error[1:] == pytest.approx((0.3 - step, 0.3 + step), abs=0.02)
    by_patient = expected_calibration_error(
        [0.3] * 10, [0] * 10, bins=1, patient_id=np.repeat(range(5), 2)
    )
    assert by_patient.high - by_patient.low > error.high - error.low


def test_the_limits_are_the_quantiles_of_the_noise():
    # One bin is a mean: the limits are those of a normal value with the variance of n - 1.
    rng = np.random.default_rng(0)
    label = (rng.random(12) < 0.5).astype(float)
    prob = np.full(12, 0.99)
    error = expected_calibration_error(prob, label, bins=1)
    step = 1.96 * (prob - label).std(ddof=1) / math.sqrt(12)
    assert error.estimate - error.low == pytest.approx(step, rel=0.04)
    assert min(error.estimate + step, 1) == pytest.approx(error.high, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("sure", [1.0, 1.5, 2.5])
@pytest.mark.parametrize("per_patient", [1, 4])
def test_the_interval_holds_the_true_error_about_as_often_as_it_says(sure, per_patient):
    truth = expected_calibration_error(*case(400_000, sure=sure)[:2]).estimate
    for n in (50, 200, 1000):
        held = 0
        for seed in range(RUNS):
            prob, label, who = case(n, sure=sure, seed=seed + 1, per_patient=per_patient)
            _, low, high = expected_calibration_error(prob, label, patient_id=who)
            held += low <= truth <= high
        low, high = LIMITS[sure > 1, n > 50]
        assert low <= held / RUNS <= high, (n, held / RUNS)
