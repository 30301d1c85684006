# SPDX-License-Identifier: Apache-2.0
"""The method and its comparators: which films, labels and losses."""

from __future__ import annotations

import pytest

from monai_kd.engines import METHODS, make_methods, method_names
from monai_kd.losses import DINOLoss
from monai_kd.utils import MonaiKDError


def methods(**settings):
    return make_methods(activation="sigmoid", self_supervision=DINOLoss(8), **settings)


def test_every_name_has_a_method_and_the_start_besides():
    assert set(methods()) == {*METHODS, "start"}


# Films of round 2: unlabeled_1 and _2, the labeled ones, or both.
@pytest.mark.parametrize(
    ("name", "arrivals", "label", "teacher", "projection"),
    [
        ("distl", [1, 2], "label", True, True),
        ("self_supervised", [1, 2], "label", True, True),
        ("self_training", [1, 2], "label", True, False),
        ("fixmatch", [1, 2], "label", False, False),
        ("mean_teacher", [1, 2], "label", True, False),
        ("supervised", [0], "label", False, False),
        ("supervised_all", [0, 1, 2], "hidden_label", False, False),
        ("start", [0, 1, 2], "label", True, True),
    ],
)
def test_what_a_step_sees_and_asks(name, arrivals, label, teacher, projection):
    method = methods()[name]
    assert list(method.arrivals(2)) == arrivals
    assert method.label_key == label
    assert method.loss.needs_teacher is teacher
    assert method.loss.needs_projection is projection


def test_all_share_one_centre():
    centre = DINOLoss(8)
    made = make_methods(activation="sigmoid", self_supervision=centre)
    assert made["distl"].loss.self_supervision is centre
    assert made["distl"].correction.self_supervision is centre
    assert made["start"].loss.self_supervision is centre


def test_the_published_ablations():
    assert methods(lam=0.0)["distl"].loss.needs_projection is False
    assert methods(lam=1.0)["distl"].correction.lam == 1.0
    assert methods(correct=False)["distl"].correction is None
    assert methods(alpha=False)["distl"].pseudo_label_weight(4, 5) == 1.0
    # D1: alpha of 5 epochs
    alpha = [methods()["distl"].pseudo_label_weight(epoch, 5) for epoch in range(5)]
    assert alpha == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])


def test_the_weight_of_the_consistency_rises_and_stays():
    weight = methods()["mean_teacher"].pseudo_label_weight
    values = [weight(epoch, 10) for epoch in range(10)]
    assert values == sorted(values)
    assert values[0] < 1
    assert values[4:] == pytest.approx([10.0] * 6)


@pytest.mark.parametrize(
    ("comparators", "expected"),
    [
        ([], ["distl"]),
        ("[]", ["distl"]),
        (["supervised"], ["distl", "supervised"]),
        ("['supervised','mean_teacher']", ["distl", "supervised", "mean_teacher"]),
        ("supervised, fixmatch", ["distl", "supervised", "fixmatch"]),
        (["distl", "supervised"], ["distl", "supervised"]),
        ("all", list(METHODS)),
    ],
)
def test_comparators_are_named_as_people_write_them(comparators, expected):
    assert method_names("distl", comparators) == expected


@pytest.mark.parametrize(
    ("comparators", "message"),
    [
        (["supervized"], "must be of distl, .*, got supervized"),
        (3, "must be a list of methods or 'all', got int"),
    ],
)
def test_names_that_are_none_are_refused(comparators, message):
    with pytest.raises(MonaiKDError, match=message):
        method_names("distl", comparators)
