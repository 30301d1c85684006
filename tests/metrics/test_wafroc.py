# SPDX-License-Identifier: Apache-2.0
"""AFROC figures of merit: against the sum over all pairs, and against AUROC where they agree."""

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.metrics import (
    Candidates,
    bootstrap_auroc,
    bootstrap_auroc_difference,
    jafroc,
    wafroc,
    wafroc_difference,
)


def random_case(seed=0, images=14):
    rng = np.random.default_rng(seed)
    lesions = rng.integers(0, 4, images)
    lesions[:2] = 0, 2
    image, lesion = [], []
    for number in range(images):
        found = [n for n in range(lesions[number]) if rng.random() < 0.6]
        others = rng.choice([-1, -2] if lesions[number] else [-1], rng.integers(0, 3))
        lesion += [*found, *others]
        image += [number] * (len(found) + len(others))
    score = rng.random(len(image)).round(1)  # with ties
    return Candidates(np.array(image), score, np.zeros((len(image), 4)), np.array(lesion), lesions)


def all_pairs(case, false_positives, weighted):
    def best(image, lesion):
        rows = (case.image == image) & (case.lesion == lesion)
        return case.score[rows].max(initial=-np.inf)

    won = pairs = 0.0
    for image, lesions in enumerate(case.lesions):
        for lesion in range(lesions):
            for other in range(case.images):
                if false_positives == "all" or case.lesions[other] == 0:
                    hit, worst = best(image, lesion), best(other, -1)
                    weight = 1 / lesions if weighted else 1
                    won += weight * ((hit > worst) + 0.5 * (hit == worst))
                    pairs += weight
    return won / pairs


@pytest.mark.parametrize("false_positives", ["normal", "all"])
@pytest.mark.parametrize("seed", range(6))
def test_the_figure_is_the_share_of_all_pairs_won(seed, false_positives):
    case = random_case(seed)
    for figure, weighted in ((wafroc, True), (jafroc, False)):
        ours = figure(case, false_positives=false_positives)
        assert ours.estimate == pytest.approx(all_pairs(case, false_positives, weighted))
        assert 0 < ours.low < ours.estimate < ours.high < 1


def test_one_lesion_and_one_candidate_per_image_give_the_auroc_and_its_interval():
    rng = np.random.default_rng(0)
    lesions = (rng.random(60) < 0.4).astype(int)
    score = rng.random(60) + 0.5 * lesions
    case = Candidates(np.arange(60), score, np.zeros((60, 4)), lesions - 1, lesions)
    auroc = bootstrap_auroc(score, lesions)
    assert wafroc(case) == pytest.approx(auroc)
    assert jafroc(case) == pytest.approx(auroc)


def test_the_difference_is_paired_and_that_of_the_auroc_where_they_agree():
    rng = np.random.default_rng(0)
    lesions = (rng.random(60) < 0.4).astype(int)
    scores = rng.random((2, 60)) + np.array([[0.5], [0.2]]) * lesions
    ours, theirs = (
        Candidates(np.arange(60), score, np.zeros((60, 4)), lesions - 1, lesions)
        for score in scores
    )
    found = wafroc_difference(ours, theirs)
    assert found == pytest.approx(bootstrap_auroc_difference(*scores, lesions))
    assert found.estimate == pytest.approx(wafroc(ours).estimate - wafroc(theirs).estimate)
    assert wafroc_difference(ours, ours) == (0, 0, 0, 1)
    back = wafroc_difference(theirs, ours)
    assert back == pytest.approx([-found.estimate, -found.high, -found.low, found.p_value])


def test_the_difference_takes_false_positives_from_where_it_is_told():
    one = random_case(1)
    other = Candidates(one.image, one.score[::-1].copy(), one.box, one.lesion, one.lesions)
    for kind in ("normal", "all"):
        alone = [wafroc(case, false_positives=kind).estimate for case in (one, other)]
        ours = wafroc_difference(one, other, false_positives=kind)
        assert ours.estimate == pytest.approx(alone[0] - alone[1])


def few_lesions(found, normal=10):
    """Images with two lesions each, of which so many are found, and normal ones without a mark."""
    image = np.repeat(np.arange(len(found)), found)
    lesion = np.arange(len(image)) - np.repeat(np.cumsum(found) - found, found)
    lesions = np.append(np.full(len(found), 2), np.zeros(normal, int))
    score, box = np.full(len(image), 0.9), np.zeros((len(image), 4))
    return Candidates(image, score, box, lesion, lesions)


def test_few_patients_on_the_smaller_side_have_wide_limits_or_none():
    for figure in (wafroc, jafroc):
        one = figure(few_lesions([1]))
        assert one.estimate == 0.75
        assert np.isnan(one[1:]).all()
        three = figure(few_lesions([1, 1, 1]))
        assert three.low < 0.3
        assert three.high > 0.95
    half = few_lesions([1, 1, 1])
    image, lesion = np.append(half.image, [4, 5]), np.append(half.lesion, [-1, -1])
    score = np.append(half.score, [0.95, 0.8])  # of normal images: they move the figure a little
    noisy = wafroc(Candidates(image, score, np.zeros((5, 4)), lesion, half.lesions))
    assert noisy.estimate == pytest.approx(0.65)
    assert noisy.high - noisy.low > 0.6
    ours = wafroc_difference(few_lesions([2, 2]), few_lesions([0, 0]))
    assert (ours.estimate, ours.verdict) == (0.5, "not shown")
    assert np.isnan(wafroc_difference(few_lesions([2]), few_lesions([0]))[1:]).all()


@pytest.mark.parametrize(("lesions", "normal"), [(3, 30), (30, 3)])
def test_a_perfect_figure_has_the_binomial_limit_of_the_smaller_side(lesions, normal):
    ours = wafroc(few_lesions([2] * lesions, normal))
    assert ours == pytest.approx((1, 0.025 ** (1 / 3), 1))


def test_a_mark_in_the_wrong_place_earns_nothing():
    lesions, box = np.array([1, 0]), np.zeros((2, 4))
    image, score = np.array([0, 1]), np.array([0.9, 0.5])
    right = Candidates(image, score, box, np.array([0, -1]), lesions)
    wrong = Candidates(image, score, box, np.array([-1, -1]), lesions)
    assert wafroc(right).estimate == 1.0
    assert wafroc(wrong).estimate == 0.0


def test_without_lesions_or_images_without_one_there_is_no_figure():
    empty = np.zeros(0, int)
    none = {"image": empty, "score": np.zeros(0), "box": np.zeros((0, 4)), "lesion": empty}
    assert np.isnan(wafroc(Candidates(**none, lesions=np.array([0, 0])))).all()
    only = Candidates(**none, lesions=np.array([1, 2]))
    assert np.isnan(wafroc(only)).all()
    assert wafroc(only, false_positives="all").estimate == 0.5  # all at minus infinity


def test_the_difference_of_nothing_is_unknown_and_of_other_images_refused():
    case = random_case()
    box = np.zeros((0, 4))
    none = Candidates(
        box[:, 0].astype(int), box[:, 0], box, box[:, 0].astype(int), np.zeros(3, int)
    )
    assert np.isnan(wafroc_difference(none, none)).all()
    with pytest.raises(ValueError, match="wafroc_difference: both models must be judged on the"):
        wafroc_difference(case, none)
    with pytest.raises(ValueError, match=r"`level` must be in \(0, 1\), got 2"):
        wafroc_difference(case, case, level=2)


def test_refuses_another_kind_of_false_positive():
    with pytest.raises(ValueError, match="`false_positives` must be one of normal, all"):
        wafroc(random_case(), false_positives="none")
