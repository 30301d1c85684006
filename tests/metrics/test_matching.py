# SPDX-License-Identifier: Apache-2.0
"""Matching: against a loop over candidates and lesions, MONAI's mask route, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.metrics import MATCHING_RULES, Candidates, match_candidates, matching
from monai_kd.metrics.ranking import descending


def random_boxes(rng, count, side=20):
    corner = rng.integers(0, side, (count, 2))
    return np.hstack([corner, corner + rng.integers(0, 12, (count, 2))]).astype(float)


def case(seed=0, candidates=60, lesions=18, images=6):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, images, candidates),
        "score": rng.random(candidates).round(1),  # with ties
        "box": random_boxes(rng, candidates),
        "lesion_image": rng.integers(0, images, lesions),
        "lesion_box": random_boxes(rng, lesions),
        "images": images,
    }


def meets(box, lesion, rule, threshold, tolerance):
    """How well, and whether, one box meets another."""
    if rule == "center":
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        inside = lesion[0] - tolerance <= x < lesion[2] + tolerance
        inside &= lesion[1] - tolerance <= y < lesion[3] + tolerance
        return -np.hypot(x - (lesion[0] + lesion[2]) / 2, y - (lesion[1] + lesion[3]) / 2), inside
    width = max(0, min(box[2], lesion[2]) - max(box[0], lesion[0]))
    height = max(0, min(box[3], lesion[3]) - max(box[1], lesion[1]))
    whole = (box[2] - box[0]) * (box[3] - box[1])
    if rule == "iou":
        whole += (lesion[2] - lesion[0]) * (lesion[3] - lesion[1]) - width * height
    share = width * height / whole if whole else 0
    return share, share >= threshold


def one_after_the_other(image, score, box, lesion_image, lesion_box, images, **rule):
    hit, taken = np.full(len(score), -1), set()
    for c in np.argsort(-score, kind="stable"):
        fits = {
            number: meets(box[c], lesion_box[number], **rule)
            for number in np.flatnonzero(lesion_image == image[c])
        }
        fits = {number: fit for number, (fit, met) in fits.items() if met}
        free = {number: fit for number, fit in fits.items() if number not in taken}
        if free:
            best = max(free, key=lambda number: (free[number], -number))
            taken.add(best)
            hit[c] = (lesion_image[:best] == lesion_image[best]).sum()
        elif fits:
            hit[c] = -2
    return hit


@pytest.mark.parametrize("rule", MATCHING_RULES)
@pytest.mark.parametrize("seed", range(8))
def test_all_images_at_once_equal_one_candidate_after_the_other(rule, seed):
    inputs = case(seed)
    settings = {"rule": rule, "threshold": 0.2, "tolerance": 1}
    expected = one_after_the_other(**inputs, **settings)
    assert match_candidates(**inputs, **settings).lesion.tolist() == expected.tolist()
    assert {-2, -1, 0} <= set(expected) or rule == "iou"


def test_the_order_of_images_and_the_size_of_the_parts_change_nothing(monkeypatch):
    from monai_kd.metrics import matching

    whole = match_candidates(**case(3), tolerance=2).lesion
    monkeypatch.setattr(matching, "_PAIRS_AT_ONCE", 5)
    assert match_candidates(**case(3), tolerance=2).lesion.tolist() == whole.tolist()


def test_hits_are_those_of_monais_masks():
    from monai.metrics import compute_fp_tp_probs_nd

    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), int)
    lesion_box = np.array([[5, 6, 20, 30], [30, 10, 50, 25], [25, 40, 60, 60]])
    for number, (x_min, y_min, x_max, y_max) in enumerate(lesion_box):
        mask[y_min:y_max, x_min:x_max] = number + 1
    x, y, score = rng.integers(0, 64, 30), rng.integers(0, 64, 30), rng.random(30)
    fp, tp, _ = compute_fp_tp_probs_nd(score, np.stack([y, x], 1), mask)
    middle = np.stack([x, y, x + 1, y + 1], 1)
    ours = match_candidates(np.zeros(30), score, middle, np.zeros(3), lesion_box, images=1)
    assert sorted(ours.score[ours.false_positive]) == sorted(fp)
    by_lesion = dict(zip(ours.lesion[ours.hit].tolist(), ours.score[ours.hit], strict=True))
    assert [by_lesion.get(number, 0) for number in range(3)] == pytest.approx(tp)


def test_a_second_hit_on_a_lesion_takes_a_free_one_if_it_can_and_is_ignored_if_not():
    lesion = [[0, 0, 10, 10], [5, 0, 15, 10]]
    box = [[6, 4, 8, 6], [6, 4, 8, 6], [6, 4, 8, 6], [0, 0, 2, 2], [40, 40, 41, 41]]
    ours = match_candidates([0] * 5, [0.9, 0.8, 0.7, 0.6, 0.5], box, [0, 0], lesion, images=1)
    assert ours.lesion.tolist() == [0, 1, -2, -2, -1]
    assert ours.lesions.tolist() == [2]


def test_the_tolerance_enlarges_the_lesion_on_every_side():
    settings = {"lesion_image": [0], "lesion_box": [[10, 10, 20, 20]], "images": 1}
    points = np.array([[8, 8, 8, 8], [7.9, 8, 7.9, 8], [21.9, 21, 21.9, 21], [22, 21, 22, 21]])
    for point, hit in zip(points, [0, -1, 0, -1], strict=True):
        assert match_candidates([0], [1.0], [point], **settings, tolerance=2).lesion == [hit]


def test_without_candidates_or_lesions_nothing_is_hit():
    empty = np.zeros((0, 4))
    none = match_candidates([], [], empty, [1], [[0, 0, 1, 1]], images=3)
    assert none.lesions.tolist() == [0, 1, 0]
    assert match_candidates([2], [0.5], [[0, 0, 1, 1]], [], empty, images=3).lesion == [-1]


@pytest.mark.parametrize("kind", ["uniform", "ties", "negative", "zeros", "tiny", "empty"])
def test_descending_is_a_stable_sort(kind):
    rng = np.random.default_rng(0)
    score = {
        "uniform": rng.random(3000),
        "ties": rng.random(3000).round(2),
        "negative": rng.normal(size=3000),
        "zeros": np.array([0.0, -0.0, 1.0, -0.0, 0.0, -1.0]),
        "tiny": np.array([0.5, 0.5 + 1e-16, 0.5 + 1e-12, 5e-324, 0.0, 0.5 - 1e-15]),
        "empty": np.zeros(0),
    }[kind]
    assert descending(score).tolist() == np.argsort(-score, kind="stable").tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"rule": "centre"}, r"`rule` must be one of.*Did you mean `center`", id="rule"
        ),
        pytest.param({"threshold": 0}, r"`threshold` must be in \(0, 1\], got 0", id="threshold"),
        pytest.param({"tolerance": -1}, "`tolerance` must be at least 0", id="tolerance"),
        pytest.param({"images": 2}, r"image must be in \[0, 2\), got 0 to 5", id="image"),
        pytest.param({"score": np.full(60, np.nan)}, "`score` must be finite, got 60", id="nan"),
        pytest.param({"score": [0.5]}, "must be as many, got 60, 1 and 60", id="length"),
        pytest.param({"lesion_box": np.zeros((1, 4))}, "must be as many, got 18", id="lesions"),
        pytest.param({"box": [[5, 5, 2, 2]] * 60}, "minima not above", id="corner and size"),
        pytest.param({"patient_id": [1]}, "one entry per image, 6, got 1", id="patients"),
    ],
)
def test_refuses_what_cannot_be_matched(changes, message):
    with pytest.raises(ValueError, match=message):
        match_candidates(**case() | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lesion": np.array([1])}, "below the number of lesions of its image"),
        ({"image": np.array([7])}, r"must be in \[0, 1\)"),
        ({"score": np.array([np.inf])}, "`score` must be finite"),
        ({"box": np.zeros((2, 4))}, "one entry per candidate, got 1, 1, 2 and 1"),
    ],
)
def test_candidates_refuse_what_does_not_fit(changes, message):
    one = {
        "image": np.array([0]),
        "score": np.array([0.5]),
        "box": np.zeros((1, 4)),
        "lesion": np.array([0]),
        "lesions": np.array([1]),
    }
    assert Candidates(**one).images == 1
    with pytest.raises(ValueError, match=message):
        Candidates(**one | changes)


@pytest.mark.parametrize(
    "score",
    [
        pytest.param([1e308, -1e308, 3.0], id="too far"),
        pytest.param([5e-324, 0.0, 1e-323, -0.0], id="too near"),
        pytest.param([np.inf, 1.0, -np.inf, 1.0], id="infinite"),
        pytest.param([0.2, 0.2, 0.2], id="alike"),
        pytest.param([], id="none"),
        pytest.param((1 - 1e-13 * np.random.default_rng(0).random(999)).tolist(), id="crowded"),
        pytest.param((np.random.default_rng(0).random(9999) ** 40).tolist(), id="skewed"),
    ],
)
def test_scores_that_are_hard_to_scale_are_sorted_too(score):
    values = np.array(score, float)
    assert descending(values).tolist() == np.argsort(-values, kind="stable").tolist()


@pytest.mark.parametrize("rule", MATCHING_RULES)
def test_pairs_that_are_looked_at_in_parts_give_the_same(rule, monkeypatch):
    whole = match_candidates(**case(3), rule=rule, threshold=0.2)
    monkeypatch.setattr(matching, "_PAIRS_AT_ONCE", 7)
    parts = match_candidates(**case(3), rule=rule, threshold=0.2)
    assert parts.lesion.tolist() == whole.lesion.tolist()
