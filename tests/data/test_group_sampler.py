# SPDX-License-Identifier: Apache-2.0
"""A fixed mix of drawn, positive and negative films, the same for any number of processes."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from monai_kd.data import CachedDataset, GroupSampler, films_of_an_epoch

GROUPS = [0] * 5 + [-1] * 3 + [1] * 7 + [2] * 40


def sampler(epoch=0, groups=GROUPS, **settings):
    made = GroupSampler(groups, **{"seed": 0} | settings)
    made.set_epoch(epoch)
    return made


def order(epoch=0, **settings):
    return [index for _, index in sampler(epoch, **settings)]


def films_of(group):
    return [index for index, value in enumerate(GROUPS) if value == group]


def in_group(group, indices):
    return [index for index in indices if GROUPS[index] == group]


def batches(indices, size):
    return [indices[start : start + size] for start in range(0, len(indices), size)]


@pytest.mark.parametrize("ratio", [(1, 1, 2), (2, 1, 1), (1, 0, 2), (1, 1, 0), (0, 2, 3)])
@pytest.mark.parametrize("epoch", [0, 3])
def test_every_block_holds_exactly_the_ratio_in_a_fixed_order(ratio, epoch):
    expected = [group for group, share in enumerate(ratio) for _ in range(share)]
    for block in batches(order(epoch, ratio=ratio), sum(ratio)):
        assert [GROUPS[index] for index in block] == expected


@pytest.mark.parametrize(
    ("ratio", "blocks", "seen"),
    [((1, 1, 2), 7, {0, 1}), ((1, 3, 2), 5, {0, 1}), ((2, 0, 1), 3, {0}), ((0, 0, 4), 10, {2})],
)
def test_an_epoch_is_long_enough_to_see_the_most_demanding_group(ratio, blocks, seen):
    times = Counter()
    for epoch in range(4):
        films = order(epoch, ratio=ratio)
        assert len(films) == blocks * sum(ratio)
        times.update(films)
        for group in seen:  # after so many epochs each film was seen as often, or more
            assert min(times[index] for index in films_of(group)) >= epoch + 1


@pytest.mark.parametrize(
    ("ratio", "films"), [((1, 1, 2), 28), ((1, 3, 2), 30), ((2, 0, 1), 9), ((0, 0, 4), 40)]
)
def test_the_films_of_an_epoch_can_be_asked_for(ratio, films):
    assert films_of_an_epoch(GROUPS, ratio) == films == len(sampler(ratio=ratio))


def test_a_group_that_is_not_there_makes_no_epoch_longer():
    assert films_of_an_epoch([0, 0, 2], (1, 1, 2)) == films_of_an_epoch([0, 0, 2], (1, 0, 2)) == 6


@pytest.mark.parametrize(("films", "length"), [(1, 4), (12, 12), (13, 16)])
def test_an_epoch_of_a_given_length_has_whole_blocks(films, length):
    made = sampler(films=films)
    assert len(made) == len(list(made)) == length


@pytest.mark.parametrize("films", [40, 120, 400])
def test_no_film_comes_back_before_its_whole_group_was_seen(films):
    seen = [index for epoch in range(6) for index in order(epoch, films=films)]
    for group in range(3):
        whole = films_of(group)
        for part in batches(in_group(group, seen), len(whole)):
            assert len(set(part)) == len(part)
            assert len(part) < len(whole) or sorted(part) == whole


def test_films_of_a_large_group_are_seen_equally_often_over_many_epochs():
    times = Counter()
    for epoch in range(100):
        times.update(order(epoch))  # 14 of the 40 negative films, 7 of the 5 drawn ones
        for group in range(3):
            counts = [times[index] for index in films_of(group)]
            assert max(counts) - min(counts) <= 1
    assert min(times[index] for index in films_of(2)) == 100 * 14 // 40


def test_films_that_come_back_within_an_epoch_come_in_another_order():
    drawn = [index for index in order(films=80) if GROUPS[index] == 0]
    assert len({tuple(part) for part in batches(drawn, 5)}) > 1


def test_epochs_go_on_where_the_last_one_stopped():
    films = [index for epoch in range(5) for index in order(epoch, films=16)]  # 5 x 8 of 40
    assert sorted(index for index in films if GROUPS[index] == 2) == list(range(15, 55))
    later = [index for epoch in range(5, 10) for index in order(epoch, films=16)]
    assert sorted(later)[-40:] == list(range(15, 55))
    assert later != films


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    one = sampler(seed=5)
    list(one)
    one.set_epoch(4)
    list(one)
    assert [index for _, index in one] == order(4, seed=5)
    assert {key % 100_000 for key, _ in one} == {4}
    assert order(4, seed=5) != order(5, seed=5)
    assert order(4, seed=5) != order(4, seed=6)


@pytest.mark.parametrize("stream", [0, 1])
def test_each_time_a_film_comes_it_comes_with_a_key_of_its_own(stream):
    drawn = []
    for epoch in range(4):
        pairs = list(sampler(epoch, films=80, stream=stream))
        times = Counter()
        for key, index in pairs:
            assert key == stream * 100_000 + epoch + 1_000_000 * times[index]
            times[index] += 1
        assert max(times.values()) > 2
        drawn += pairs
    assert len(set(drawn)) == len(drawn) == 4 * 80


class Noise:
    """The smallest random transform that MONAI's ``Compose`` can seed."""

    R = None

    def set_random_state(self, seed=None, state=None):
        self.R = state
        return self

    def __call__(self, item):
        return item | {"image": item["image"] + torch.from_numpy(self.R.uniform(size=(1, 4, 4)))}


def test_a_film_that_comes_twice_in_an_epoch_is_another_picture():
    def prepare(item):
        return item | {"image": torch.zeros(1, 4, 4), "label": torch.zeros(1)}

    items = [{"image": "none.png", "label": [0]} for _ in GROUPS]
    dataset = CachedDataset(items, prepare=prepare, augment=Noise())
    pairs = list(sampler(films=40))
    (film, times), *_ = Counter(index for _, index in pairs).most_common(1)
    assert times == 2
    first, second = (dataset[pair]["image"] for pair in pairs if pair[1] == film)
    assert not torch.equal(first, second)
    again = [dataset[pair]["image"] for pair in sampler(films=40) if pair[1] == film]
    assert torch.equal(again[0], first)
    assert torch.equal(again[1], second)


def test_groups_of_the_same_size_are_not_shuffled_alike():
    films = order(groups=[0] * 8 + [1] * 8, ratio=(1, 1, 0))
    assert [index + 8 for index in films[::2]] != films[1::2]


@pytest.mark.parametrize("world_size", [2, 3, 7])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_all_processes_together_see_the_batches_of_one(world_size, blocks, epoch):
    alone = batches(list(sampler(epoch, films=7 * 4)), blocks * 4 * world_size)
    ranks = [
        batches(list(sampler(epoch, films=7 * 4, rank=rank, world_size=world_size)), blocks * 4)
        for rank in range(world_size)
    ]
    assert len({sum(map(len, rank)) for rank in ranks}) == 1
    for one, parts in zip(alone, zip(*ranks, strict=True), strict=True):
        many = [pair for part in parts for pair in part]  # films and the keys of their views
        assert Counter(one) <= Counter(many)
        assert len(one) < blocks * 4 * world_size or sorted(one) == sorted(many)


def test_blocks_are_added_when_they_do_not_divide_evenly():
    ranks = [order(films=4 * 4, rank=rank, world_size=3) for rank in range(3)]
    assert [len(rank) for rank in ranks] == [8] * 3
    assert len(sampler(films=4 * 4, world_size=3)) == 8
    negatives = [index for rank in ranks for index in rank if GROUPS[index] == 2]
    assert len(set(negatives)) == len(negatives) == 12


def test_films_of_which_nothing_is_known_are_never_drawn():
    assert not {5, 6, 7} & {index for epoch in range(5) for index in order(epoch)}


@pytest.mark.parametrize(
    ("groups", "settings", "message"),
    [
        ([1, 2], {}, r"films on which an expert drew a finding \(group 0\).* got none of 2"),
        ([0, 2], {}, r"films with a finding that nobody drew \(group 1\) while their `ratio` is 1"),
        ([0, 1], {"ratio": [1, 1, 3]}, r"without a finding \(group 2\) while their `ratio` is 3"),
        ([0, 3], {}, "`groups` must be -1, 0, 1 or 2, got another number"),
        (GROUPS, {"ratio": [1, 1]}, r"`ratio` must be three whole numbers .* got \[1, 1\]"),
        (GROUPS, {"ratio": [1, -1, 2]}, r"`ratio` must be .* got \[1, -1, 2\]"),
        (GROUPS, {"ratio": [1, 0.5, 2]}, r"`ratio` must be .* got \[1, 0\.5, 2\]"),
        (GROUPS, {"ratio": [0, 0, 0]}, "`ratio` must be .* not all 0"),
        (GROUPS, {"films": -1}, "`films` must be at least 0, got -1"),
        (GROUPS, {"rank": 2, "world_size": 2}, "GroupSampler: `rank` must be"),
        (GROUPS, {"seed": -1}, "GroupSampler: `seed` must be"),
    ],
)
def test_refuses_what_cannot_be_mixed(groups, settings, message):
    with pytest.raises(ValueError, match=message):
        sampler(groups=groups, **settings)


@pytest.mark.parametrize("groups", [[0, 2], [0, 1, 2]])
def test_a_group_that_is_left_out_need_not_be_there(groups):
    assert [groups[index] for index in order(groups=groups, ratio=(1, 0, 2))] == [0, 2, 2]
