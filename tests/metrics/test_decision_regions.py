# SPDX-License-Identifier: Apache-2.0
"""Means over films with their intervals: SciPy, invariants, and coverage by simulation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from monai_kd.metrics import RegionAgreement, decision_region_summary

THRESHOLDS = (0.25, 0.5, 0.75)


def agreement(mass, iou=None):
    mass = np.asarray(mass, float)
    iou = np.full((len(mass), 3), 0.3) if iou is None else np.asarray(iou, float)
    return RegionAgreement(mass=mass, hit=np.where(np.isnan(mass), np.nan, mass > 0.5), iou=iou)


def summary(mass, *, control=None, iou=None, region_share=None, **more):
    return decision_region_summary(
        agreement(mass, iou),
        control=None if control is None else agreement(control),
        thresholds=THRESHOLDS,
        region_share=np.full(len(mass), 0.1) if region_share is None else region_share,
        **more,
    )


def test_the_gain_over_the_control_is_students_paired_interval():
    ours, control = np.tile([0.5, 0.7], 10), np.tile([0.2, 0.3], 10)
    result = summary(ours, control=control)
    expected = ttest_1samp(ours - control, 0).confidence_interval(0.95)
    assert result["beyond_control"]["mass_inside"] == pytest.approx(0.35)
    assert result["beyond_control"]["mass_inside_ci"] == pytest.approx(list(expected))
    assert result["control"]["mass_inside"] == pytest.approx(0.25)


def test_the_pointing_game_and_the_overlap_are_compared_film_by_film_too():
    rng = np.random.default_rng(0)
    parts = [
        RegionAgreement(rng.random(30), rng.random(30) < share, rng.random((30, 3)))
        for share in (0.8, 0.4)
    ]
    result = decision_region_summary(
        parts[0], control=parts[1], thresholds=THRESHOLDS, region_share=np.full(30, 0.1)
    )
    beyond = result["beyond_control"]
    hits = parts[0].hit.astype(float) - parts[1].hit
    best = [part.iou[:, part.iou.mean(0).argmax()] for part in parts]
    for name, gain in (("pointing_game", hits), ("iou", best[0] - best[1])):
        expected = ttest_1samp(gain, 0).confidence_interval(0.95)
        assert beyond[name] == pytest.approx(gain.mean())
        assert beyond[f"{name}_ci"] == pytest.approx(list(expected))
        assert beyond[name] == pytest.approx(result[name] - result["control"][name])
    assert beyond["n"] == 30
    json.dumps(result, allow_nan=False)


def test_a_gain_that_is_the_same_on_every_film_is_no_certainty():
    low, high = summary([0.9, 0.9], control=[0.1, 0.1])["beyond_control"]["pointing_game_ci"]
    assert low < 0
    assert high == 1
    ours = summary(np.full(3, 0.9), control=np.full(3, 0.8))["beyond_control"]
    assert ours["mass_inside_ci"][0] < 0 < ours["mass_inside_ci"][1]
    same = summary(np.full(3, 0.9), control=np.full(3, 0.9))["beyond_control"]
    assert same["mass_inside_ci"] == [0, 0]


@pytest.mark.parametrize(
    ("part", "value", "name"), [("mass", 1.5, "mass"), ("hit", np.nan, "hit"), ("iou", -0.1, "iou")]
)
def test_numbers_that_are_no_shares_are_refused(part, value, name):
    parts = {"mass": np.full(3, 0.5), "hit": np.ones(3), "iou": np.full((3, 2), 0.5)}
    good = RegionAgreement(**parts)
    parts[part] = np.array(parts[part])
    parts[part][1] = value
    bad = RegionAgreement(**parts)
    for ours, control in ((bad, None), (good, bad)):
        with pytest.raises(ValueError, match=rf"`{name}` must be in \[0, 1\] .*, got [12] values"):
            decision_region_summary(
                ours, control=control, thresholds=(0.3, 0.6), region_share=np.full(3, 0.1)
            )


def test_one_overlap_that_is_missing_is_refused_not_averaged_over():
    iou = np.full((3, 3), 0.4)
    iou[1, 2] = np.nan
    with pytest.raises(ValueError, match="`iou` must be in"):
        summary([0.5, 0.6, 0.7], iou=iou)


def test_the_mean_lies_between_its_limits_inside_zero_and_one():
    result = summary([0.02, 0.001, 0.03, 0.0, 0.6], iou=np.eye(5)[:, :3])
    for name in ("mass_inside", "pointing_game", "iou"):
        low, high = result[f"{name}_ci"]
        assert 0 <= low <= result[name] <= high <= 1
    assert result["mass_inside"] == pytest.approx(0.1302)
    assert result["pointing_game"] == pytest.approx(0.2)


def test_the_overlap_is_taken_at_the_threshold_with_the_largest_mean():
    iou = [[0.1, 0.5, 0.2], [0.2, 0.3, 0.9], [0.0, 0.4, 0.0]]
    result = summary([0.5, 0.6, 0.7], iou=iou)
    assert result["iou_threshold"] == 0.5
    assert result["iou"] == pytest.approx(0.4)


def test_films_of_one_patient_that_are_alike_tell_no_more_than_one():
    once = np.random.default_rng(0).uniform(size=12)
    single = summary(once, patient_id=[f"p{n}" for n in range(12)])
    doubled = summary(np.repeat(once, 2), patient_id=np.repeat(np.arange(12), 2))
    assert doubled["patients"] == single["patients"] == 12
    assert doubled["mass_inside_ci"] == pytest.approx(single["mass_inside_ci"])
    assert doubled["pointing_game_ci"] == pytest.approx(single["pointing_game_ci"], abs=0.05)
    apart = summary(np.repeat(once, 2))
    assert apart["patients"] is None
    assert np.ptp(apart["mass_inside_ci"]) < 0.8 * np.ptp(doubled["mass_inside_ci"])


def test_films_without_a_map_are_left_out_and_counted():
    ours = [0.5, np.nan, 0.7, 0.6]
    result = summary(
        ours,
        control=[0.1, 0.2, np.nan, 0.3],
        iou=[[0.3] * 3, [np.nan] * 3, [0.3] * 3, [0.3] * 3],
        region_share=[0.1, 0.9, 0.1, 0.1],
    )
    assert (result["n"], result["empty"], result["control"]["n"]) == (3, 1, 2)
    assert result["region_share"] == pytest.approx(0.1)
    assert result["mass_inside"] == pytest.approx(0.6)
    assert result["beyond_control"]["mass_inside"] == pytest.approx((0.4 + 0.3) / 2)
    assert result["beyond_control"]["n"] == 2


def test_a_control_without_any_map_has_no_numbers():
    result = summary([0.5, 0.6], control=[np.nan, np.nan])
    assert result["control"]["n"] == 0
    assert result["control"]["mass_inside"] is None
    names = ("mass_inside", "pointing_game", "iou")
    nothing = {key: None for name in names for key in (name, f"{name}_ci")}
    assert result["beyond_control"] == {"n": 0, **nothing}
    json.dumps(result, allow_nan=False)


def test_without_a_map_there_is_nothing_to_say():
    assert summary([np.nan, np.nan]) == {}
    assert summary([]) == {}


def test_one_patient_has_no_interval():
    result = summary([0.5, 0.6], control=[0.1, 0.3], patient_id=["a", "a"])
    assert result["mass_inside_ci"] is None
    assert result["beyond_control"]["mass_inside_ci"] is None
    assert "control" not in summary([0.5, 0.6])


def test_cases_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"every array must have 2 cases, got \[2, 3\]"):
        summary([0.5, 0.6], control=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="`patient_id` must have one entry per image, 2, got 1"):
        summary([0.5, 0.6], patient_id=["a"])


@pytest.mark.slow
@pytest.mark.parametrize("cases", [50, 200, 1000])
def test_intervals_cover_the_truth(cases):
    """Patients with 1 to 4 cases that hang together; shares that are often near 0."""
    random = np.random.default_rng(cases)
    simulations, covered = 2000, np.zeros(3)
    big = random.normal(size=1_000_000)
    chance = 1 / (1 + np.exp(1 - big - random.normal(size=big.size)))
    truth = np.array([chance.mean(), (chance > 0.5).mean(), chance.mean() - 0.2])
    for _ in range(simulations):
        patient = np.repeat(np.arange(cases), random.integers(1, 5, cases))[:cases]
        own = random.normal(size=cases)[patient]
        mass = 1 / (1 + np.exp(1 - own - random.normal(size=cases)))
        control = np.clip(0.2 + random.normal(scale=0.05, size=cases), 0, 1)
        result = summary(mass, control=control, patient_id=patient)
        limits = np.array(
            [
                result["mass_inside_ci"],
                result["pointing_game_ci"],
                result["beyond_control"]["mass_inside_ci"],
            ]
        )
        covered += (limits[:, 0] <= truth) & (truth <= limits[:, 1])
    assert ((covered / simulations >= 0.93) & (covered / simulations <= 0.97)).all(), covered
