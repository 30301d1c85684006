# SPDX-License-Identifier: Apache-2.0
"""From influences to intervals: against SciPy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import proportion_interval
from monai_kd.metrics.limits import difference_interval, mover
from monai_kd.metrics.uncertainty import (
    corrected,
    logit_interval,
    patient_index,
    spread,
    student_p,
    student_quantile,
)


def test_the_quantile_and_the_p_value_are_those_of_scipy():
    from scipy import stats

    for df in (1, 3.5, 40):
        assert student_quantile(0.9, df) == pytest.approx(stats.t.ppf(0.95, df))
        assert student_p(-0.3, 0.2, df) == pytest.approx(2 * stats.t.sf(1.5, df))
    assert student_quantile(0.9, math.inf) == pytest.approx(stats.norm.ppf(0.95))
    assert student_p(0.3, 0.2, math.inf) == pytest.approx(2 * stats.norm.sf(1.5))


def test_the_mean_of_normal_values_has_the_interval_of_student():
    values = np.random.default_rng(0).normal(size=12)
    patient = np.arange(12)
    raw = (values - values.mean()) / 12
    error, df = spread(corrected(raw, np.ones(12), patient), patient)
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(12))
    assert 1 <= df <= 11


def test_the_jackknife_is_that_of_leaving_each_patient_out():
    rng = np.random.default_rng(0)
    values, patient = rng.normal(size=30), rng.integers(0, 6, 30)
    moved = corrected((values - values.mean()) / 30, np.ones(30), patient, jackknife=True)
    left_out = [values.mean() - values[patient != who].mean() for who in range(6)]
    np.testing.assert_allclose(np.bincount(patient, weights=moved), left_out, atol=1e-14)


def test_degrees_of_freedom_are_lost_to_patients_that_move_the_score_far():
    even = np.tile([1.0, -1.0], 10)
    assert spread(even, np.arange(20))[1] == 19
    one_far = np.r_[10.0, np.full(19, -0.1)]
    assert 1 <= spread(one_far, np.arange(20))[1] < 4


def test_images_of_one_patient_are_added_up():
    assert spread(np.array([3.0, 1.0, -4.0]), np.array([0, 0, 1]))[0] == pytest.approx(
        math.sqrt(32)
    )


def test_patients_are_numbered_and_text_and_numbers_do_alike():
    assert patient_index(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert patient_index([7, 3, 7], 3).tolist() == [1, 0, 1]
    assert patient_index(None, 3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="one entry per image, 3, got 1"):
        patient_index(["a"], 3)


def test_one_patient_who_is_all_of_a_class_gives_no_limits():
    assert np.isnan(corrected(np.ones(2), np.ones(2), np.zeros(2, int))).all()
    assert math.isnan(logit_interval(0.7, math.nan, 5, cases=1).low)


def beyond(below, above):
    """Reach of a share of four trials at the end of its scale, scaled."""
    return lambda level: tuple(d * (1 - ((1 - level) / 2) ** 0.25) for d in (below, above))


def test_a_difference_without_error_and_without_value_is_nothing():
    assert difference_interval(0.0, 0.0, 9) == (0, 0, 0, 1)


def test_what_has_no_error_reaches_as_far_as_it_says_at_right_angles_to_the_rest():
    step, still = 2.2621571627409915 * 0.1, 1 - 0.025**0.25
    found = difference_interval(0.3, 0.1, 9, reach=beyond(1, 0))
    assert found.low == pytest.approx(0.3 - math.hypot(step, still))
    assert found.high == pytest.approx(0.3 + step)
    turned = difference_interval(-0.3, 0.1, 9, reach=beyond(0, 1))
    assert turned.high == pytest.approx(-found.low)
    assert turned.p_value == pytest.approx(found.p_value)
    score = mover(0.5, 0.0, 9, reach=beyond(1, 0.5))
    assert score == pytest.approx((0.5, max(0.5 - still, 0), 0.5 + still / 2))


def test_the_p_value_does_not_depend_on_the_level_and_is_where_the_limit_is_0():
    for reach, error in ((beyond(1, 0.2), 0.0), (beyond(0.3, 0.2), 0.1), (None, 0.1)):
        found = [
            difference_interval(0.45, error, 9, reach=reach, level=level)
            for level in (0.5, 0.9, 0.95, 0.99)
        ]
        assert len({one.p_value for one in found}) == 1
        p_value = found[0].p_value
        assert 1e-6 < p_value < 1
        at = difference_interval(0.45, error, 9, reach=reach, level=1 - p_value)
        assert at.low == pytest.approx(0, abs=1e-6)


def test_a_score_between_0_and_1_without_an_error_has_the_interval_of_wilson():
    assert logit_interval(0.3, 0.0, 9, cases=10) == pytest.approx(proportion_interval(3, 10))
    assert logit_interval(0.3, 1e-17, 9, cases=10) == pytest.approx(proportion_interval(3, 10))


def test_an_error_that_nobody_knows_gives_no_limits_even_at_the_end_of_the_scale():
    assert math.isnan(logit_interval(1.0, math.nan, 5, cases=1).low)
    assert math.isnan(mover(1.0, math.nan, 5, reach=beyond(0, 0)).low)


def test_blank_patients_are_not_one_patient():
    for blank in ("", " ", None, math.nan):
        found = patient_index(["a", blank, "a", blank, "b"], 5)
        assert len(set(found.tolist())) == 4
        assert found[0] == found[2] != found[1] != found[3]


def test_equal_squares_have_three_times_their_number_but_no_more_than_the_patients():
    # Four of 24 patients move the score, all as far.
    moved = np.r_[np.tile([1.0, -1.0], 2), np.full(20, 1e-9)]
    assert spread(moved, np.arange(24))[1] == pytest.approx(3 * 4)


def test_the_p_value_is_below_5_percent_just_when_the_interval_leaves_0_out():
    for value in (0.20, 0.22, 0.23, 0.25):
        found = difference_interval(value, 0.1, 9)
        assert (found.p_value < 0.05) == (found.low > 0)
