# SPDX-License-Identifier: Apache-2.0
"""FROC: the published vector, MONAI's arrays, the curve counted at every threshold."""

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.metrics import Candidates, FrocCurve, froc_curve, recall_at


def candidates(image, score, lesion, lesions, patient_id=None):
    return Candidates(
        np.asarray(image),
        np.asarray(score, float),
        np.zeros((len(image), 4)),
        np.asarray(lesion),
        np.asarray(lesions),
        patient_id,
    )


def random_case(seed=0, images=40, all_hit=False, digits=2, per_patient=1):
    """Every lesion found or a third missed; false positives; repeated hits."""
    rng = np.random.default_rng(seed)
    lesions = rng.integers(0, 4, images)
    image = np.repeat(np.arange(images), lesions)
    lesion = np.arange(len(image)) - np.repeat(np.cumsum(lesions) - lesions, lesions)
    found = np.ones(len(image), bool) if all_hit else rng.random(len(image)) < 0.67
    others = rng.integers(0, images, 2 * images)
    repeated = (lesions[others] > 0) & (rng.random(len(others)) < 0.2)
    score = np.concatenate([rng.random(found.sum()) ** 0.5, rng.random(len(others))])
    return candidates(
        np.concatenate([image[found], others]),
        np.maximum(score.round(digits), 10.0**-digits),
        np.concatenate([lesion[found], np.where(repeated, -2, -1)]),
        lesions,
        (np.arange(images) // per_patient).tolist(),
    )


# Vector F1 of our FROC rule: images [[(.9,L0),(.6,FP),(.3,L1)], [(.8,FP)],
# [(.7,L0),(.65,L0),(.2,FP)], []], lesions [2, 0, 1, 1].
def vector():
    return candidates(
        [0, 0, 0, 1, 2, 2, 2],
        [0.9, 0.6, 0.3, 0.8, 0.7, 0.65, 0.2],
        [0, -1, 1, -1, 0, -2, -1],
        [2, 0, 1, 1],
    )


def test_the_vector_of_our_rule():
    recall = recall_at(froc_curve(vector()), [0.125, 0.25, 0.5, 1.0])
    assert recall.tolist() == [0.25, 0.5, 0.75, 0.75]


@pytest.mark.parametrize("all_hit", [True, False])
@pytest.mark.parametrize("digits", [2, 9])
def test_monai_compat_gives_monais_arrays(all_hit, digits):
    from monai.metrics import compute_froc_curve_data

    case = random_case(all_hit=all_hit, digits=digits)
    missed = int(case.lesions.sum() - case.hit.sum())
    theirs = compute_froc_curve_data(
        case.score[case.false_positive],
        np.append(case.score[case.hit], np.zeros(missed)),
        int(case.lesions.sum()),
        case.images,
    )
    ours = froc_curve(case, monai_compat=True)
    np.testing.assert_array_equal(ours.fp_per_image, theirs[0])
    np.testing.assert_array_equal(ours.recall, theirs[1])
    whole = froc_curve(case)
    np.testing.assert_array_equal(whole.recall[: len(ours.recall)][::-1], ours.recall)
    assert len(whole.recall) - len(ours.recall) == (1 if all_hit else 0)


def test_the_lowest_operating_point_that_monai_drops_is_there():
    case = candidates([0, 0, 1, 1], [0.9, 0.8, 0.2, 0.1], [-1, 0, -1, 0], [1, 1])
    assert froc_curve(case).recall.max() == 1.0
    assert froc_curve(case, monai_compat=True).recall.max() == 0.5


def test_every_point_is_what_counting_at_its_threshold_gives():
    case = random_case(seed=4)
    curve = froc_curve(case)
    for fp, recall, threshold in zip(*curve, strict=True):
        above = case.score >= threshold
        assert fp == (above & case.false_positive).sum() / case.images
        assert recall == (above & case.hit).sum() / case.lesions.sum()
    kept = case.lesion != -2
    assert curve.threshold.tolist() == [np.inf, *np.unique(case.score[kept])[::-1]]


def test_the_recall_at_a_rate_is_the_best_that_a_threshold_reaches():
    curve = froc_curve(random_case(seed=5))
    for rate in (0, 0.03, 0.1, 0.7, 99):
        best = max(r for f, r in zip(curve.fp_per_image, curve.recall, strict=True) if f <= rate)
        assert recall_at(curve, [rate]) == [best]


def test_without_candidates_the_curve_is_the_origin_and_without_lesions_the_recall_unknown():
    none = froc_curve(candidates([], [], [], [1, 0]))
    assert none == FrocCurve(np.zeros(1), np.zeros(1), np.array([np.inf]))
    assert np.isnan(froc_curve(candidates([0], [0.5], [-1], [0])).recall).all()
    assert len(froc_curve(candidates([], [], [], [0]), monai_compat=True).recall) == 1


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="`candidates` must be of at least one image, got none"):
        froc_curve(candidates([], [], [], []))
