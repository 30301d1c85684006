# SPDX-License-Identifier: Apache-2.0
import pytest
from torch.utils.data import DataLoader

from monai_kd.data.sampler import EpochSampler


def order(size=10, epoch=0, **settings):
    sampler = EpochSampler(size, **{"shuffle": True, "seed": 0} | settings)
    sampler.set_epoch(epoch)
    return list(sampler)


def batches(indices, size):
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def test_every_image_is_seen_once_per_epoch_with_the_epoch_beside_it():
    pairs = order(epoch=3)
    assert sorted(index for _, index in pairs) == list(range(10))
    assert {epoch for epoch, _ in pairs} == {3}


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    sampler = EpochSampler(10, shuffle=True, seed=5)
    list(sampler)
    sampler.set_epoch(4)
    list(sampler)
    assert list(sampler) == order(epoch=4, seed=5)
    indices = [[index for _, index in order(epoch=e, seed=s)] for e, s in [(4, 5), (5, 5), (4, 6)]]
    assert indices[0] != indices[1]
    assert indices[0] != indices[2]


def test_without_shuffling_the_order_is_that_of_the_data_set():
    assert order(4, shuffle=False) == [(0, 0), (0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize(("size", "world_size"), [(24, 2), (24, 3), (27, 2), (26, 4)])
def test_all_processes_together_see_the_batches_of_one(size, world_size):
    total = 12
    alone = batches(order(size, epoch=1), total)
    ranks = [
        batches(order(size, epoch=1, rank=rank, world_size=world_size), total // world_size)
        for rank in range(world_size)
    ]
    assert len({sum(map(len, rank)) for rank in ranks}) == 1
    together = [
        sorted(pair for part in parts for pair in part) for parts in zip(*ranks, strict=True)
    ]
    for one, many in zip(alone, together, strict=True):
        assert set(one) <= set(many)
        assert len(one) == total or len(many) - len(one) < world_size
        assert len(one) < total or sorted(one) == many
    assert sum(map(len, together)) - size == -size % world_size


def test_more_processes_than_images_get_one_each():
    assert [len(order(2, rank=rank, world_size=5)) for rank in range(5)] == [1] * 5


def test_the_length_is_the_number_of_images_of_this_process():
    for size in (9, 10, 11):
        sampler = EpochSampler(size, shuffle=True, seed=0, rank=1, world_size=3)
        assert len(sampler) == len(list(sampler))


def test_it_works_in_a_torch_data_loader():
    class Pairs:
        def __len__(self):
            return 5

        def __getitem__(self, pair):
            return pair

    sampler = EpochSampler(5, shuffle=True, seed=0)
    sampler.set_epoch(7)
    loader = DataLoader(Pairs(), batch_size=2, sampler=sampler)
    epochs, indices = zip(*loader, strict=True)
    assert [len(batch) for batch in indices] == [2, 2, 1]
    assert all((batch == 7).all() for batch in epochs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "`dataset_size` must be at least 1, got 0"),
        ({"rank": 2, "world_size": 2}, "`rank` must be from 0 to `world_size` - 1, got 2 of 2"),
        ({"seed": -1}, r"`seed` must be from 0 to 2\*\*32 - 1, got -1"),
    ],
)
def test_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        order(**settings)
