# SPDX-License-Identifier: Apache-2.0
"""Several seeds: Student over seeds, reader-study variance over both, and simulated null pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import score_difference, score_interval, seeds_difference, seeds_summary
from monai_kd.metrics.seeds import SeedsDifference
from monai_kd.metrics.uncertainty import spread, student_quantile

SIGMOID = {"activation": "sigmoid"}


def case(seeds=5, n=80, seed=0, gain=0.0):
    """Two methods; noise of the film for all, for one method, and for one seed."""
    rng = np.random.default_rng(seed)
    label = (rng.random((n, 1)) < 0.5).astype(float)
    film = rng.normal(size=(n, 1))

    def method(shift):
        skill = shift + 0.2 * rng.normal(size=(seeds, 1, 1))  # a seed may be lucky
        noise = film + 0.5 * rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(seeds, n, 1))
        logit = skill * (label - 0.5) + noise
        return 1 / (1 + np.exp(-logit))

    return method(1.5 + gain), method(1.5), label


def test_over_seeds_it_is_the_t_test_of_the_gains():
    from scipy.stats import ttest_rel

    ours, theirs, label = case()
    found = seeds_difference("macro_auroc", ours, theirs, label, **SIGMOID)
    single = [
        score_difference("macro_auroc", a, b, label, **SIGMOID).estimate
        for a, b in zip(ours, theirs, strict=True)
    ]
    expected = ttest_rel(single, np.zeros(5))
    assert found.gains.tolist() == pytest.approx(single)
    assert (found.mean, found.sd) == pytest.approx((np.mean(single), np.std(single, ddof=1)))
    assert found.seeds.p_value == pytest.approx(expected.pvalue)
    limits = expected.confidence_interval(0.95)
    assert found.seeds[1:3] == pytest.approx((limits.low, limits.high))


def test_over_both_the_variance_is_that_of_obuchowski_and_rockette():
    # Brier is a mean over films, so covariances come from the films' gains directly.
    ours, theirs, label = case(seeds=4, n=50)
    found = seeds_difference("brier", ours, theirs, label, **SIGMOID)
    film = ((ours - label) ** 2 - (theirs - label) ** 2)[..., 0]  # (S, N)
    between = np.cov(film, ddof=1) / 50
    shared = (between.sum() - np.trace(between)) / (4 * 3)
    assert shared > 0
    of_seeds = film.mean(axis=1).var(ddof=1) / 4
    error = math.sqrt(of_seeds + shared)
    _, patients = spread(film.mean(axis=0) - film.mean(), np.arange(50))
    df = error**4 / (of_seeds**2 / 3 + shared**2 / patients)
    assert found.both.estimate == pytest.approx(film.mean())
    by_patients = math.sqrt(between.sum() / 16)  # with the seeds as they are: the least it can be
    step = student_quantile(0.95, df) * max(error, by_patients)
    assert found.both.high - film.mean() == pytest.approx(step)
    assert df < error**4 / (of_seeds**2 / 3)  # Hillis takes the covariance as known


def test_seeds_that_are_copies_leave_the_uncertainty_of_patients():
    ours, theirs, label = case(seeds=1)
    patient = np.arange(80) // 2
    settings = SIGMOID | {"patient_id": patient}
    one = score_difference("macro_auroc", ours[0], theirs[0], label, **settings)
    for copies in (1, 4):
        found = seeds_difference(
            "macro_auroc",
            *(np.repeat(p, copies, axis=0) for p in (ours, theirs)),
            label,
            **settings,
        )
        assert found.both == pytest.approx(one)
    assert found.sd == pytest.approx(0, abs=1e-12)


def test_seeds_that_gain_alike_by_luck_do_not_hide_what_patients_do():
    gain = 0.05 * np.random.default_rng(3).normal(size=(3, 60, 1))
    gain -= gain.mean(axis=1, keepdims=True)  # no seed gains anything, films do, each its own way
    ours, theirs = np.sqrt(0.25 - gain), np.full((3, 60, 1), 0.5)
    found = seeds_difference("brier", theirs, ours, np.zeros((60, 1)), **SIGMOID)
    assert found.sd == pytest.approx(0, abs=1e-12)
    by_patients = gain.mean(axis=0).std(ddof=1) / math.sqrt(60)
    assert found.both.high - found.mean > 1.9 * by_patients > 0


def test_a_covariance_below_0_does_not_narrow_the_interval():
    label = np.tile([0.0, 1.0], 20)[:, None]
    sway = 0.2 * np.random.default_rng(0).normal(size=(40, 1))
    ours = np.stack([0.5 + sway, 0.5 - sway])  # what films give one seed they take from the other
    found = seeds_difference("brier", ours, np.full((2, 40, 1), 0.6), label, **SIGMOID)
    assert found.both == pytest.approx(found.seeds)


def test_one_seed_says_nothing_of_other_seeds():
    ours, theirs, label = case(seeds=1)
    found = seeds_difference("macro_auroc", ours, theirs, label, **SIGMOID)
    assert math.isnan(found.sd)
    assert math.isnan(found.seeds.low)
    assert found.seeds.verdict == "not shown"
    assert found.both.low < found.mean < found.both.high


def test_a_method_does_not_differ_from_itself():
    ours, _, label = case()
    found = seeds_difference("macro_auroc", ours, ours, label, **SIGMOID)
    assert found.both == found.seeds == (0, 0, 0, 1)


def test_the_summary_is_wider_than_over_patients_alone_and_than_over_seeds_alone():
    prob, _, label = case(n=300)
    found = seeds_summary("macro_auroc", prob, label, **SIGMOID)
    alone = [score_interval("macro_auroc", table, label, **SIGMOID) for table in prob]
    assert found.values.tolist() == pytest.approx([interval.estimate for interval in alone])
    assert found.both.estimate == pytest.approx(np.mean(found.values))
    step = 2.7764451 * found.sd / math.sqrt(5) / (found.mean * (1 - found.mean))
    center = math.log(found.mean / (1 - found.mean))
    assert found.seeds[1:] == pytest.approx(
        [1 / (1 + math.exp(-center + s * step)) for s in (1, -1)]
    )
    width = found.both.high - found.both.low
    assert width > found.seeds.high - found.seeds.low
    assert 0 < found.both.low < found.both.high < 1


def test_the_summary_of_one_seed_is_its_interval():
    prob, _, label = case(seeds=1)
    found = seeds_summary("brier", prob, label, **SIGMOID)
    assert found.both == pytest.approx(score_interval("brier", prob[0], label, **SIGMOID))
    assert math.isnan(found.seeds.low)


def test_without_labels_the_data_cannot_say():
    ours, theirs, label = case()
    found = seeds_difference("macro_auroc", ours, theirs, np.full_like(label, np.nan), **SIGMOID)
    assert isinstance(found, SeedsDifference)
    assert math.isnan(found.mean)
    assert found.both.verdict == found.seeds.verdict == "not shown"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        pytest.param(np.ones((80, 1)), r"must be \(S, N, C\).*got \(80, 1\)", id="one table"),
        pytest.param(np.ones((4, 80, 1)), "as many seeds of the one", id="seeds"),
    ],
)
def test_refuses_tables_that_do_not_fit(tables, message):
    ours, _, label = case()
    with pytest.raises(ValueError, match=message):
        seeds_difference("macro_auroc", ours, tables, label, **SIGMOID)


@pytest.mark.slow
def test_of_equal_methods_5_percent_are_shown_to_differ_and_real_gains_more():
    runs, shown, gained = 800, 0, 0
    for run in range(runs):
        ours, theirs, label = case(seeds=3, n=100, seed=run)
        found = seeds_difference("macro_auroc", ours, theirs, label, **SIGMOID)
        shown += found.both.verdict != "not shown"
        if run < 100:
            better, theirs, label = case(seeds=3, n=400, seed=run, gain=1.5)
            found = seeds_difference("macro_auroc", better, theirs, label, **SIGMOID)
            gained += found.both.verdict == "gain shown"
    assert 0.02 <= shown / runs <= 0.073  # 5% + 3 standard errors; few seeds are cautious
    assert gained >= 90


def test_over_seeds_the_limits_stay_in_range():
    label = np.array([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]])
    prob = np.stack([[0.1, 0.2, 0.3, 0.9, 0.8, 0.7], [0.1, 0.2, 0.75, 0.9, 0.8, 0.7]])[:, :, None]
    found = seeds_summary("macro_auroc", prob, label, **SIGMOID)
    assert found.values.tolist() == pytest.approx([1, 8 / 9])
    for interval in (found.seeds, found.both):
        assert 0 <= interval.low < interval.estimate < interval.high <= 1
    alike = seeds_summary("macro_auroc", prob[[1, 1]], label, **SIGMOID)
    assert alike.seeds == pytest.approx((8 / 9, 8 / 9, 8 / 9))


def test_seeds_that_are_all_perfect_rest_on_the_patients_of_the_smaller_class():
    label = np.repeat([1.0, 0.0], [4, 30])[:, None]
    found = seeds_summary("macro_auroc", np.stack([label, label, label]), label, **SIGMOID)
    assert found.both == pytest.approx((1, 0.025 ** (1 / 4), 1))
    gain = seeds_difference(
        "macro_auroc", np.stack([label] * 3), np.stack([1 - label] * 3), label, **SIGMOID
    )
    bound = 1 - 0.025 ** (1 / 4)
    assert gain.both.low == pytest.approx(1 - math.hypot(bound, bound))
    assert 0 < gain.both.p_value < 0.05


def test_the_summary_of_copied_seeds_has_the_jackknife_of_one():
    prob, _, label = case(seeds=1, n=24)
    copies = np.repeat(prob, 3, axis=0)
    patient = np.arange(24) // 4
    found = seeds_summary("brier", copies, label, patient_id=patient, **SIGMOID).both
    alone = score_interval("brier", prob[0], label, patient_id=patient, **SIGMOID)
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=1e-6)
