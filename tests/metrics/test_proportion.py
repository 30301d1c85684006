# SPDX-License-Identifier: Apache-2.0
"""Wilson's interval: against SciPy, the closed form, and what patients with many images know."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import proportion_interval
from monai_kd.metrics.proportion import wilson_interval


@pytest.mark.parametrize(("hits", "trials"), [(0, 7), (8, 10), (150, 300), (12, 12)])
def test_counts_have_the_interval_of_scipy(hits, trials):
    from scipy.stats import binomtest

    expected = binomtest(hits, trials).proportion_ci(0.9, method="wilson")
    share, low, high = proportion_interval(hits, trials, level=0.9)
    assert (share, low, high) == pytest.approx((hits / trials, expected.low, expected.high))


def test_rows_count_as_their_sum_and_rows_without_a_trial_not_at_all():
    hit = np.array([True, False, True, True, True])
    true = np.array([True, True, True, False, False])
    assert proportion_interval(hit, true) == pytest.approx(proportion_interval(2, 3))
    assert proportion_interval([2, 1], [3, 4]) == pytest.approx(proportion_interval(3, 7))


def test_a_trial_per_patient_changes_nothing():
    hit = np.arange(30) % 3 > 0
    alone = proportion_interval(hit, np.ones(30))
    assert proportion_interval(hit, np.ones(30), group=range(30)) == pytest.approx(alone)


def test_copied_trials_add_no_certainty():
    hit = np.arange(400) % 3 > 0
    alone = proportion_interval(hit, np.ones(400))
    copied = proportion_interval(np.repeat(hit, 4), np.ones(1600), group=np.repeat(range(400), 4))
    assert copied == pytest.approx(alone, abs=5e-4)


def test_groups_give_the_effective_number_of_trials():
    # By hand: shares 1, 0.5, 0 of 2 trials each; p = 0.5, v = 2 * (1 / 6)^2 / (1 - 1 / 3) = 1 / 12,
    # so 0.25 / v = 3 trials, as many as there are groups; t quantile with 2 degrees of freedom.
    found = proportion_interval([2, 1, 0], [2, 2, 2], group="abc")
    square = 4.302652729696142**2
    half = math.sqrt(square * 0.25 / 3 + square**2 / 36) / (1 + square / 3)
    assert found == pytest.approx((0.5, 0.5 - half, 0.5 + half))


def test_when_all_trials_end_alike_each_patient_counts_as_one():
    found = proportion_interval(np.ones(12), np.ones(12), group=np.repeat(range(4), 3))
    assert found == pytest.approx(proportion_interval(4, 4))
    assert proportion_interval(np.zeros(12), np.ones(12), group=np.repeat(range(4), 3)).low == 0


def test_without_a_trial_or_with_one_patient_the_data_cannot_say():
    assert all(math.isnan(value) for value in proportion_interval([0, 0], [0, 0]))
    share, low, high = proportion_interval([1, 0], [1, 1], group="aa")
    assert share == 0.5
    assert math.isnan(low)
    assert math.isnan(high)


def test_limits_stay_in_range_and_fewer_degrees_of_freedom_widen_them():
    wide, narrow = wilson_interval(0.97, 4.5, df=2), wilson_interval(0.97, 4.5)
    assert 0 <= wide.low < narrow.low < 0.97 < narrow.high < wide.high <= 1


@pytest.mark.parametrize(
    ("successes", "trials", "group", "message"),
    [
        pytest.param([1, 2], [1], None, r"\(2,\) and \(1,\)", id="shape"),
        pytest.param([2], [1], None, "between 0 and `trials`", id="more hits than trials"),
        pytest.param([math.nan], [1], None, "between 0 and `trials`", id="nan"),
        pytest.param([1, 0], [1, 1], ["a"], "one entry per image, 2, got 1", id="groups"),
    ],
)
def test_refuses_what_is_no_share(successes, trials, group, message):
    with pytest.raises(ValueError, match=message):
        proportion_interval(successes, trials, group=group)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_refuses_a_level_that_is_no_share(level):
    with pytest.raises(ValueError, match=r"`level` must be in \(0, 1\)"):
        proportion_interval(1, 2, level=level)


def test_patients_who_are_half_right_are_not_worth_more_trials_than_there_are():
    group = np.repeat(np.arange(100), 2)
    hit = np.tile([0, 1], 100)
    hit[0] = 1  # 101 of 200; each patient but one has one of either
    found = proportion_interval(hit, np.ones(200), group=group)
    counted = proportion_interval(101, 200)
    assert found.low <= counted.low
    assert found.high >= counted.high
    assert found == pytest.approx(counted, abs=2e-3)
