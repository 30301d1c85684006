# SPDX-License-Identifier: Apache-2.0
"""The FROC score: every resample against a curve of copied images; intervals by their meaning."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import Candidates, froc_curve, froc_difference, froc_score, recall_at
from monai_kd.metrics.bootstrap import bootstrap, patient_numbers
from monai_kd.metrics.froc_score import weighted_froc_score

RATES = (0.1, 0.2, 0.5, 1.0)


def case(seed=0, images=40, per_patient=2, digits=2, shift=0.0, noise=0):
    """Hits score higher by ``shift``; ``noise`` seeds another model on the same lesions."""
    rng = np.random.default_rng(seed)
    lesions = rng.integers(0, 3, images)
    image = np.repeat(np.arange(images), lesions)
    lesion = np.arange(len(image)) - np.repeat(np.cumsum(lesions) - lesions, lesions)
    rng = np.random.default_rng([seed, noise])
    found = rng.random(len(image)) < 0.8
    others = rng.integers(0, images, 3 * images)
    score = np.concatenate([rng.random(found.sum()) + shift, rng.random(len(others))])
    return Candidates(
        np.concatenate([image[found], others]),
        score.round(digits),
        np.zeros((len(score), 4)),
        np.concatenate([lesion[found], np.full(len(others), -1)]),
        lesions,
        (np.arange(images) // per_patient).tolist(),
    )


def copied(one, patient, count):
    """The candidates of a resample: each image as often as its patient was drawn."""
    parts, lesions = [], []
    for image in range(one.images):
        for _ in range(count[patient[image]]):
            rows = one.image == image
            new = np.full(rows.sum(), len(lesions))
            parts.append((new, one.score[rows], one.box[rows], one.lesion[rows]))
            lesions.append(one.lesions[image])
    return Candidates(*(np.concatenate(c) for c in zip(*parts, strict=True)), np.array(lesions))


@pytest.mark.parametrize("per_patient", [1, 3])
@pytest.mark.parametrize("digits", [1, 6])
def test_each_resample_is_the_score_of_the_copied_images(per_patient, digits):
    one = case(per_patient=per_patient, digits=digits)
    patient, patients = patient_numbers(one.patient_id, one.images)
    counts = []
    rates = (*RATES, 9.0)  # at the last all candidates stay
    statistic = weighted_froc_score(one, patient, rates)

    def watched(count):
        counts.extend(count)
        return statistic(count)

    values = bootstrap(watched, patients, resamples=12)
    expected = [recall_at(froc_curve(copied(one, patient, c)), rates).mean() for c in counts]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    one_by_one = [statistic(c[None])[0] for c in counts]
    np.testing.assert_array_equal(one_by_one, values)


def test_false_positives_of_images_that_do_not_count_may_be_as_many_as_they_like():
    first = np.zeros(200, int)  # 200 false positives of image 0 stand before those of image 1
    image, lesion = np.append(first, [1, 1]), np.append(first - 1, [0, -1])
    score = np.append(np.full(200, 0.9), [0.5, 0.4])
    lesions = np.append([0, 1], np.zeros(298, int))
    one = Candidates(image, score, np.zeros((202, 4)), lesion, lesions)
    count = np.zeros((1, 300), int)
    count[0, 1] = 300
    assert weighted_froc_score(one, np.arange(300), (0.01,))(count) == [1.0]


def test_the_estimate_is_the_mean_recall_of_the_curve():
    one = case()
    ours = froc_score(one)
    assert ours.estimate == pytest.approx(recall_at(froc_curve(one), RATES).mean(), abs=1e-15)
    assert 0 < ours.low < ours.estimate < ours.high < 1
    assert froc_score(one, rates=[0.5]).estimate == recall_at(froc_curve(one), [0.5])[0]


def test_the_interval_depends_on_the_seed_alone_and_narrows_with_the_level():
    one = case()
    assert froc_score(one) == froc_score(one)
    assert froc_score(one, seed=1) != froc_score(one)
    wide, narrow = froc_score(one, level=0.99), froc_score(one, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_copied_images_of_a_patient_do_not_narrow_the_interval():
    one = case(per_patient=1, images=60)
    count = np.full(60, 4)
    four = copied(one, np.arange(60), count)
    patient = np.repeat(np.arange(60), 4).tolist()
    of_patients = Candidates(four.image, four.score, four.box, four.lesion, four.lesions, patient)
    assert froc_score(of_patients) == pytest.approx(froc_score(one), abs=1e-12)
    alone = froc_score(four)
    assert alone.high - alone.low < 0.7 * (froc_score(one).high - froc_score(one).low)


def test_all_found_is_not_certainty():
    one = case(shift=2)
    found = one.lesion >= 0
    every = np.isin(np.arange(one.images), one.image[found])
    lesions = np.bincount(one.image[found], minlength=one.images)
    first = np.cumsum(lesions) - lesions
    image = np.repeat(np.arange(one.images), lesions)
    lesion = np.arange(len(image)) - first[image]
    perfect = Candidates(image, np.ones(len(image)), np.zeros((len(image), 4)), lesion, lesions)
    ours = froc_score(perfect)
    assert (ours.estimate, ours.high) == (1.0, 1.0)
    assert ours.low == pytest.approx(0.025 ** (1 / every.sum()))


def test_the_same_candidates_differ_by_nothing_and_better_ones_by_something():
    one = case(images=300)
    same = froc_difference(one, one)
    assert same == (0.0, 0.0, 0.0, 1.0)
    assert same.verdict == "not shown"
    better = froc_difference(case(images=300, shift=0.5, noise=1), one)
    assert better.verdict == "gain shown"
    assert better.p_value < 0.001
    worse = froc_difference(one, case(images=300, shift=0.5, noise=1))
    assert worse.verdict == "loss shown"
    assert worse[:3] == pytest.approx([-better.estimate, -better.high, -better.low])


def test_the_paired_interval_is_narrower_than_two_apart():
    one = case(images=300)
    rng = np.random.default_rng(0)
    near = Candidates(
        one.image,
        one.score + rng.normal(size=len(one.score)) * 0.02,
        one.box,
        one.lesion,
        one.lesions,
        one.patient_id,
    )
    paired = froc_difference(near, one)
    apart = math.hypot(*(froc_score(c).high - froc_score(c).low for c in (near, one)))
    assert paired.high - paired.low < 0.7 * apart


def test_without_lesions_the_score_is_unknown():
    none = Candidates(
        np.array([0]), np.array([0.5]), np.zeros((1, 4)), np.array([-1]), np.array([0])
    )
    assert np.isnan(froc_score(none)).all()
    assert np.isnan(froc_difference(none, none)).all()


def hits_of(found, lesions):
    """Candidates that hit so many of each image's lesions, and nothing else."""
    image = np.repeat(np.arange(len(found)), found)
    lesion = np.arange(len(image)) - np.repeat(np.cumsum(found) - found, found)
    score, box = np.full(len(image), 0.9), np.zeros((len(image), 4))
    return Candidates(image, score, box, lesion, np.asarray(lesions))


def test_two_lesions_show_nothing_however_far_the_models_are_apart():
    every, none = hits_of([1, 1], [1, 1]), hits_of([0, 0], [1, 1])
    ours = froc_difference(every, none)
    assert (ours.estimate, ours.verdict) == (1.0, "not shown")
    assert ours.p_value > 0.05
    assert np.isnan(froc_difference(hits_of([2], [2]), hits_of([0], [2]))[1:]).all()


def test_few_patients_with_lesions_have_wide_limits_or_none():
    one = froc_score(hits_of([1, 0, 0], [2, 0, 0]))
    assert one.estimate == 0.5
    assert np.isnan(one[1:]).all()
    three = froc_score(hits_of([1, 1, 1, 0, 0], [2, 2, 2, 0, 0]))
    assert three.low < 0.2
    assert three.high > 0.8


@pytest.mark.slow
def test_two_models_that_are_alike_rarely_differ_on_few_lesions():
    """One film in ten has lesions, of which 80% are found."""
    for images, simulations in ((50, 800), (200, 500)):
        shown = 0
        for seed in range(simulations):
            rng = np.random.default_rng([seed, images])
            lesions = (rng.random(images) < 0.1) * rng.integers(1, 3, images)
            if lesions.any():
                pair = [sparse(rng, lesions) for _ in range(2)]
                shown += froc_difference(*pair, resamples=200).verdict != "not shown"
        assert shown / simulations < 0.07


def sparse(rng, lesions):
    image = np.repeat(np.arange(len(lesions)), lesions)
    lesion = np.arange(len(image)) - np.repeat(np.cumsum(lesions) - lesions, lesions)
    found = rng.random(len(image)) < 0.8
    others = np.repeat(np.arange(len(lesions)), rng.poisson(0.3, len(lesions)))
    where = np.append(image[found], others)
    score = rng.normal(size=len(where)) + 1.5 * (np.arange(len(where)) < found.sum())
    hit = np.append(lesion[found], np.full(len(others), -1))
    return Candidates(where, score, np.zeros((len(where), 4)), hit, lesions)


def test_a_rate_that_cannot_be_written_in_binary_is_reached_as_on_the_curve():
    images = 100  # 0.29 * 100 is 28.999999999999996
    score = np.linspace(1, 0.1, 31)
    image, lesion = np.arange(31), np.append(np.full(30, -1), 0)
    lesion[29], image[29] = 0, 50  # the 29 false positives before this hit are allowed
    lesions = np.zeros(images, int)
    lesions[[30, 50]] = 1
    one = Candidates(image, score, np.zeros((31, 4)), lesion, lesions)
    assert recall_at(froc_curve(one), [0.29]) == [1.0]
    assert froc_score(one, rates=[0.29]).estimate == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one: froc_score(one, rates=[]), "`rates` must be at least one number"),
        (lambda one: froc_score(one, rates=[-1]), r"not negative, got \[-1\]"),
        (lambda one: froc_score(one, resamples=0), "`resamples` must be at least 1, got 0"),
        (lambda one: froc_score(one, level=1.5), r"`level` must be in \(0, 1\), got 1.5"),
        (lambda one: froc_difference(one, case(seed=1)), "same images and lesions, got 40 images"),
    ],
)
def test_refuses_what_has_no_score(call, message):
    with pytest.raises(ValueError, match=message):
        call(case())


def test_no_image_is_refused():
    empty = np.zeros(0, int)
    with pytest.raises(ValueError, match="at least one image, got none"):
        froc_score(Candidates(empty, np.zeros(0), np.zeros((0, 4)), empty, empty))
