# SPDX-License-Identifier: Apache-2.0
"""Films that arrive round by round."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from monai_kd.data import (
    ArrivalSampler,
    Datalist,
    arriving_films,
    check_arrivals,
    labeled_rates,
)
from monai_kd.utils import MonaiKDError


def film(number, label, **more):
    return {"image": f"{number}.png", "label": label, **more}


def datalist(*, hidden=True):
    told = {"hidden_label": [1]} if hidden else {}
    sections = {
        "labeled": [film(0, [0]), film(1, [1]), film(2, [1])],
        "unlabeled_2": [film(5, [None], **told)],
        "unlabeled_1": [film(3, [None], **told), film(4, [None], **told)],
        "test": [film(6, [1])],
    }
    return Datalist(["mass"], False, sections, Path())


def test_films_come_in_the_order_of_their_rounds_and_only_those_asked_for():
    films = arriving_films(datalist(), rounds=2)
    assert [one["arrival"] for one in films] == [0, 0, 0, 1, 1, 2]
    assert [Path(one["image"]).stem for one in films] == ["0", "1", "2", "3", "4", "5"]
    assert len(arriving_films(datalist(), rounds=0)) == 3


def test_the_truth_of_an_unlabeled_film_is_never_its_label():
    careless = datalist()
    careless.sections["unlabeled_1"][0]["label"] = [1]  # a label somebody left there
    films = arriving_films(careless, rounds=1)
    assert [one["label"] for one in films] == [[0], [1], [1], [None], [None]]
    assert [one["hidden_label"] for one in films] == [[0], [1], [1], [1], [1]]
    unknown = arriving_films(datalist(hidden=False), rounds=1)
    assert [one["hidden_label"] for one in unknown] == [[0], [1], [1], [None], [None]]


def test_rounds_that_the_datalist_does_not_have_are_refused():
    with pytest.raises(MonaiKDError, match="`rounds` must be at most the 2 unlabeled sections"):
        check_arrivals(datalist(), rounds=3, with_truth=False)
    check_arrivals(datalist(), rounds=2, with_truth=True)


def test_the_upper_bound_needs_the_truth():
    with pytest.raises(MonaiKDError, match=r"supervised_all needs `hidden_label`.* 0 of 3"):
        check_arrivals(datalist(hidden=False), rounds=2, with_truth=True)
    check_arrivals(datalist(hidden=False), rounds=2, with_truth=False)
    empty = datalist()
    empty.sections["unlabeled_1"][0]["hidden_label"] = [None]  # there, and says nothing
    with pytest.raises(MonaiKDError, match="got it on 2 of 3"):
        check_arrivals(empty, rounds=2, with_truth=True)


def test_rates_of_the_labeled_films_leave_unknown_labels_out():
    listed = datalist()
    listed.sections["labeled"] = [film(0, [0, None]), film(1, [1, None]), film(2, [None, None])]
    first, second = labeled_rates(listed)
    assert first == 0.5
    assert math.isnan(second)


def drawn(sampler, epoch):
    sampler.set_epoch(epoch)
    return [index for _, index in sampler]


def test_only_films_that_have_arrived_are_drawn_each_once_in_an_epoch():
    sampler = ArrivalSampler([0, 0, 1, 1, 1, 2], seed=0)
    sampler.choose((1, 2))
    assert len(sampler) == 4
    assert sorted(drawn(sampler, 1)) == [2, 3, 4, 5]
    assert [drawn(sampler, epoch) for epoch in (1, 2, 3)] != [drawn(sampler, 1)] * 3


def test_few_films_are_repeated_evenly_to_fill_an_epoch():
    sampler = ArrivalSampler([0, 0, 0, 1], seed=0)
    sampler.choose((0,), films=7)
    order = drawn(sampler, 1)
    assert len(order) == len(sampler) == 7
    assert sorted(Counter(order).values()) == [2, 2, 3]
    assert sorted(order[:3]) == sorted(order[3:6]) == [0, 1, 2]  # one order after the other


def test_another_stream_draws_another_order_and_other_views():
    sampler = ArrivalSampler(range(50), seed=0)
    sampler.choose(range(50), stream=1)
    sampler.set_epoch(1)
    first = list(sampler)
    sampler.choose(range(50), stream=2)
    sampler.set_epoch(1)
    second = list(sampler)
    assert [index for _, index in first] != [index for _, index in second]
    assert {epoch for epoch, _ in first}.isdisjoint(epoch for epoch, _ in second)


def test_two_processes_share_the_order_of_one():
    one = ArrivalSampler([0] * 7, seed=3)
    one.choose((0,))
    shares = [ArrivalSampler([0] * 7, seed=3, rank=rank, world_size=2) for rank in (0, 1)]
    for share in shares:
        share.choose((0,))
    both = [drawn(share, 1) for share in shares]
    together = [index for pair in zip(*both, strict=True) for index in pair]
    assert len(both[0]) == len(both[1]) == 4
    assert set(together) == set(range(7))
    assert together[:7] == drawn(one, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "`seed` must be from 0"),
        ({"seed": 0, "rank": 2, "world_size": 2}, "`rank` must be from 0 to `world_size` - 1"),
    ],
)
def test_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ArrivalSampler([0], **settings)


def test_a_round_without_films_is_refused():
    with pytest.raises(ValueError, match=r"`arrivals` must name a round with films, got .4."):
        ArrivalSampler([0, 1], seed=0).choose((4,))
