# SPDX-License-Identifier: Apache-2.0
"""Schedules against published numbers and torch's own."""

import pytest
import torch

from monai_kd.utils import constant, cosine, linear


# Oracle: PneuKnowNet's weights, vectors H1.
@pytest.mark.parametrize(
    ("epoch", "weight"), [(0, 0.5), (1, 0.4875), (10, 0.375), (20, 0.25), (39, 0.0125), (59, 0)]
)
def test_the_feature_weight_falls_as_published(epoch, weight):
    assert linear(0.5, 0.0, steps=40)(epoch) == pytest.approx(weight, abs=1e-12)


# Oracle: PneuKnowNet's learning rate stepped per batch, vectors H3.
@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 1e-4),
        (1, 9.99291347838381e-05),
        (29, 5.133102607188874e-05),
        (58, 7.086521616190279e-08),
        (59, 0.0),
        (60, 7.086521616190279e-08),
        (109, 9.436760375282857e-05),
        (118, 1e-4),
        (218, 7.873937051072031e-05),
    ],
)
def test_the_learning_rate_swings_as_published(step, rate):
    schedule = cosine(1e-4, 0.0, steps=59, periodic=True)
    assert schedule(step) == pytest.approx(rate, rel=1e-6, abs=1e-15)


def test_cosine_is_what_torch_does():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7, eta_min=0.1)
    ours = cosine(0.3, 0.1, steps=7)
    for step in range(8):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()
    assert ours(100) == pytest.approx(0.1)


# Oracle: DISTL's learning rate, 5 epochs of 10 iterations, vectors D2.
@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (0, 0.0),
        (1, 5.555555555556e-06),
        (9, 5e-05),
        (10, 5e-05),
        (30, 2.55e-05),
        (49, 1.075525323538e-06),
    ],
)
def test_warm_up_climbs_with_both_ends(iteration, rate):
    schedule = cosine(5e-5, 1e-6, steps=50, warm_up=10)
    assert schedule(iteration) == pytest.approx(rate, rel=1e-9, abs=1e-15)


def test_constant_stays():
    assert [constant(0.3)(count) for count in (0, 9)] == [0.3, 0.3]


@pytest.mark.parametrize("schedule", [linear, cosine])
def test_refuses_no_steps(schedule):
    with pytest.raises(ValueError, match="`steps` must be at least 1, got 0"):
        schedule(1.0, 0.0, steps=0)
