# SPDX-License-Identifier: Apache-2.0
"""Two thresholds by false positives per image: against every threshold tried in turn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from monai_kd.metrics import Candidates, choose_detection_thresholds, froc_curve


def candidates(score, lesion, *, lesions, image=None):
    score = np.asarray(score, float)
    where = np.zeros(len(score), np.int64) if image is None else np.asarray(image)
    return Candidates(
        where, score, np.zeros((len(score), 4)), np.asarray(lesion, np.int64), np.asarray(lesions)
    )


def random_case(seed, images=30, digits=2):
    rng = np.random.default_rng(seed)
    hits = np.arange(images // 3)
    others = rng.integers(0, images, 3 * images)
    lesions = np.zeros(images, np.int64)
    lesions[: images // 2] = 1  # some are missed
    repeated = (lesions[others] > 0) & (rng.random(len(others)) < 0.3)
    return candidates(
        rng.random(len(hits) + len(others)).round(digits),
        np.append(np.zeros(len(hits)), np.where(repeated, -2, -1)),
        lesions=lesions,
        image=np.append(hits, others),
    )


@pytest.mark.parametrize("digits", [1, 2, 6])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.3, 5.0])
def test_the_lowest_score_of_a_hit_that_keeps_to_the_rate(digits, rate):
    found = random_case(digits, digits=digits)
    points = choose_detection_thresholds(found, dotted_fp=rate, solid_fp=rate)

    def fp(threshold):
        return ((found.score >= threshold) & found.false_positive).sum() / found.images

    counted = found.score[found.hit | found.false_positive]
    allowed = [score for score in np.unique(counted) if fp(score) <= rate]
    hits = [score for score in allowed if score in found.score[found.hit]]
    assert points.dotted == points.solid
    best = pytest.approx(found.score.max())
    assert points.dotted == (min(hits) if hits else min(allowed) if allowed else best)
    assert points.dotted_fp == fp(points.dotted) <= rate
    recall = ((found.score >= points.dotted) & found.hit).sum() / found.lesions.sum()
    assert points.dotted_recall == recall


def test_the_strict_one_is_never_below_the_mild_one():
    for seed in range(20):
        points = choose_detection_thresholds(random_case(seed))
        assert points.dotted <= points.solid
        assert points.dotted_recall >= points.solid_recall
        assert points.dotted_fp <= 0.5
        assert points.solid_fp <= 0.1


def test_where_even_the_best_is_too_many_nothing_is_shown():
    found = candidates([1.0, 1.0, 0.4], [-1, 0, 1], lesions=[2])
    points = choose_detection_thresholds(found)
    assert 1.0 < points.solid < 1.0001
    assert not (torch.tensor([1.0]) >= points.solid).any()  # a float32 score does not round up
    assert (points.solid_fp, points.solid_recall) == (0, 0)


def test_repeated_hits_are_no_false_positives():
    found = candidates([0.9, 0.8, 0.7, 0.6], [0, -2, -2, -1], lesions=[1])
    points = choose_detection_thresholds(found)
    assert points.dotted == 0.9  # scores of repeated hits are no operating points
    assert points.dotted_recall == 1


def test_a_rate_that_is_never_spent_ends_at_the_last_hit():
    found = candidates(
        [0.9, 0.6, 0.5, 0.01, 0.001], [0, -1, 0, -1, -1], lesions=[1] * 20, image=[0, 1, 2, 3, 4]
    )
    points = choose_detection_thresholds(found)
    assert (points.dotted, points.solid) == (0.5, 0.5)
    assert (points.dotted_fp, points.dotted_recall) == (1 / 20, 2 / 20)


def test_a_hit_may_lie_below_the_floor():
    found = candidates([0.9, 0.02, 0.01], [-1, 0, -1], lesions=[1] + [0] * 19)
    assert choose_detection_thresholds(found).dotted == 0.02


@pytest.mark.parametrize("lesions", [0, 1])
@pytest.mark.parametrize(
    ("scores", "threshold", "fp"), [((0.7, 0.06, 0.04, 0.001), 0.06, 0.1), ((0.04, 0.001), 0.05, 0)]
)
def test_where_nothing_is_hit_no_score_below_the_floor_is_taken(lesions, scores, threshold, fp):
    found = candidates(scores, [-1] * len(scores), lesions=[lesions] * 20)
    points = choose_detection_thresholds(found)
    assert (points.dotted, points.solid) == (threshold, threshold)
    assert points.dotted_fp == fp


def test_without_lesions_the_false_positives_still_decide():
    points = choose_detection_thresholds(
        candidates([0.9, 0.8], [-1, -1], lesions=[0] * 4, image=[0, 1])
    )
    assert points.dotted == 0.8
    assert points.solid > 0.9
    assert math.isnan(points.dotted_recall)


@pytest.mark.parametrize(
    ("lesions", "fp", "recall"), [([1, 0], 0.0, 0.0), ([0, 0], 0.0, None), ([], None, None)]
)
def test_without_candidates_nothing_can_be_chosen(lesions, fp, recall):
    points = choose_detection_thresholds(candidates([], [], lesions=np.array(lesions, np.int64)))
    row = {"threshold": None, "fp_per_image": fp, "recall": recall}
    assert json.loads(json.dumps(points.for_json(), allow_nan=False)) == dict.fromkeys(
        ("dotted", "solid"), row
    )


def test_both_are_points_of_the_froc_curve():
    found = random_case(4)
    points = choose_detection_thresholds(found)
    curve = froc_curve(found)
    rows = list(zip(curve.threshold, curve.fp_per_image, curve.recall, strict=True))
    for row in points.for_json().values():
        assert (row["threshold"], row["fp_per_image"], row["recall"]) in rows


@pytest.mark.parametrize(
    "rates", [{"dotted_fp": 0.1, "solid_fp": 0.2}, {"solid_fp": -0.1}, {"dotted_fp": math.nan}]
)
def test_refuses_rates_in_the_wrong_order(rates):
    with pytest.raises(ValueError, match=r"`solid_fp` must be in \[0, `dotted_fp`\]"):
        choose_detection_thresholds(random_case(0), **rates)
