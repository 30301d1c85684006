# SPDX-License-Identifier: Apache-2.0
"""Schedules of a stage, against the published numbers (methods, section 2.10)."""

from __future__ import annotations

import pytest

from monai_kd.engines import Method, Stage


def five_epochs_of_ten(**method):
    stage = Stage(learning_rate=5e-5)
    stage.begin(
        "round_1",
        method=Method("distl", loss=sum, momentum=0.9995, **method),
        epochs=5,
        steps_per_epoch=10,
        learning_rate=5e-5,
    )
    return stage


# D2: an independent implementation in NumPy, equal to the published code.
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (1, 5.555555555556e-06),
        (5, 2.777777777778e-05),
        (9, 5e-05),
        (10, 5e-05),
        (11, 4.992447467646e-05),
        (30, 2.55e-05),
        (49, 1.075525323538e-06),
    ],
)
def test_the_learning_rate_is_the_published_one(step, expected):
    assert five_epochs_of_ten().learning_rate_at(step) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.9995),
        (1, 0.999500493318),
        (10, 0.999547745751),
        (25, 0.99975),
        (40, 0.999952254249),
        (49, 0.999999506682),
    ],
)
def test_the_momentum_is_the_published_one(iteration, expected):
    counted_by_an_engine = iteration + 1
    assert five_epochs_of_ten().momentum_at(counted_by_an_engine) == pytest.approx(
        expected, abs=5e-13
    )


def test_self_supervision_ends_after_its_epochs():
    stage = five_epochs_of_ten(self_supervision_epochs=3)
    assert [stage.self_supervision_weight_at(epoch) for epoch in range(5)] == [1, 1, 1, 0, 0]


def test_a_stage_of_one_step_has_a_learning_rate():
    stage = Stage(learning_rate=0.1)
    stage.begin(
        "initial", method=Method("x", loss=sum), epochs=1, steps_per_epoch=1, learning_rate=0.1
    )
    assert stage.learning_rate_at(0) == pytest.approx(0.1)


def test_a_stage_that_has_not_begun_says_so():
    with pytest.raises(RuntimeError, match="a stage must have begun"):
        Stage(learning_rate=0.1).momentum_at(1)
