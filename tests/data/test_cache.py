# SPDX-License-Identifier: Apache-2.0
import errno
import json
import logging
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from monai_kd.data import cache, cache_store
from monai_kd.data.cache import CachedDataset
from monai_kd.data.cache_key import describe
from monai_kd.data.sampler import EpochSampler
from monai_kd.utils import MonaiKDError

SIZE = 16


class Prepare:
    """Reads raw pixels; counts its calls, which is no setting."""

    calls = 0

    def __init__(self, gain=1.0, pause=0.0):
        self.gain = gain
        self.pause = pause

    def __call__(self, item):
        type(self).calls += 1
        time.sleep(self.pause)
        # not np.load: it parses Python, which has failed now and then on several threads at once
        pixels = np.fromfile(item["image"]).reshape(SIZE, -1)
        image = torch.from_numpy(pixels).float()[None] * self.gain
        out = {
            **item,
            "image": image,
            "region_mask": (torch.cat([image, 1 - image]) > 0.7).float(),
            "label": torch.tensor([float("nan") if v is None else v for v in item["label"]]),
            "region_annotated": torch.tensor([item["regions"] is not None] * 2),
        }
        out.pop("regions")
        return out


class AddNoise:
    """The smallest random transform that MONAI's ``Compose`` can seed."""

    R = np.random.RandomState()

    def set_random_state(self, seed=None, state=None):
        self.R = state if state is not None else np.random.RandomState(seed)
        return self

    def __call__(self, item):
        noise = torch.from_numpy(self.R.uniform(size=tuple(item["image"].shape)))
        return {**item, "image": item["image"] + noise}


@pytest.fixture
def items(tmp_path):
    folder = tmp_path / "Doe^John"
    folder.mkdir()
    made = []
    for number in range(7):
        path = folder / f"MRN{number}.raw"
        np.random.RandomState(number).uniform(size=(SIZE, SIZE)).tofile(path)
        made.append(
            {
                "image": str(path),
                "label": [number % 2, None],
                "regions": None if number % 3 else [],
                "id": f"hash{number}",
                "patient_id": f"patient{number // 2}",
                "age": 40.0 + number,
                "view": "PA" if number else None,
            }
        )
    Prepare.calls = 0
    return made


def assert_same(one, other):
    assert list(one) == list(other)
    for key, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.nan_to_num(9), other[key].nan_to_num(9)), key
            assert value.dtype == other[key].dtype
        else:
            assert value == other[key]


def cached(items, **settings):
    return CachedDataset(items, **{"prepare": Prepare()} | settings)


def whole_folders(tmp_path):
    return [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_an_item_is_what_prepare_made_to_half_a_gray_level_of_16_bits(items):
    item, made = cached(items)[3], Prepare()(items[3])
    assert (item["image"] - made["image"]).abs().max() <= 0.5 / 65535 + 1e-7
    assert torch.equal(item["region_mask"], made["region_mask"])
    assert torch.equal(item["region_annotated"], made["region_annotated"])
    assert item["label"][0] == 1
    assert item["label"][1].isnan()
    assert item["image"].dtype == item["region_mask"].dtype == torch.float32


def test_the_16_bit_levels_are_the_nearest_ones(items):
    levels = cached(items)[0]["image"].double() * 65535
    exact = Prepare()(items[0])["image"].double() * 65535
    torch.testing.assert_close(levels, exact.round(), atol=5e-3, rtol=0)


def test_black_and_white_stay_black_and_white(items):
    np.eye(SIZE).tofile(items[0]["image"])
    assert torch.equal(cached(items)[0]["image"][0], torch.eye(SIZE))


def test_only_entries_that_all_items_have_are_passed_on_and_no_file_name(items):
    item = cached(items)[2]
    assert (item["id"], item["patient_id"], item["age"]) == ("hash2", "patient1", 42.0)
    assert item["index"] == 2
    assert set(item) == {
        *("image", "region_mask", "label", "region_annotated"),
        *("id", "patient_id", "age", "index"),
    }


def test_memory_first_run_and_second_run_agree_bit_for_bit(items, tmp_path):
    memory = cached(items)
    first = cached(items, cache_dir=tmp_path / "cache")
    calls = Prepare.calls
    second = cached(items, cache_dir=tmp_path / "cache")
    assert Prepare.calls == calls
    for index in range(len(items)):
        assert_same(memory[index], first[index])
        assert_same(memory[index], second[index])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda items: np.zeros((SIZE, SIZE)).tofile(items[4]["image"]), id="file"),
        pytest.param(lambda items: items[3].update(regions=[]), id="regions"),
        pytest.param(lambda items: items[4].update(label=[1, 1]), id="label"),
        pytest.param(lambda items: items.reverse(), id="order"),
    ],
)
def test_what_changed_is_never_served_stale(items, tmp_path, change):
    cached(items, cache_dir=tmp_path / "cache")
    change(items)
    fresh, again = cached(items), cached(items, cache_dir=tmp_path / "cache")
    for index in range(len(items)):
        assert_same(fresh[index], again[index])


@pytest.mark.parametrize("settings", [{"prepare": Prepare(gain=0.5)}, {"fingerprint": "1.1"}])
def test_another_setting_is_prepared_anew(items, tmp_path, settings):
    cached(items, cache_dir=tmp_path / "cache")
    calls = Prepare.calls
    changed = cached(items, cache_dir=tmp_path / "cache", **settings)
    assert Prepare.calls > calls
    assert_same(changed[1], cached(items, **settings)[1])


def test_a_mask_file_that_changes_is_not_served_stale(items, tmp_path):
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"one")
    items[0]["regions"] = [{"mask": str(mask), "finding": None}]
    cached(items, cache_dir=tmp_path / "cache")
    mask.write_bytes(b"two")
    cached(items, cache_dir=tmp_path / "cache")
    assert len(whole_folders(tmp_path)) == 2


def test_moved_files_and_new_ids_are_served_from_the_cache(items, tmp_path):
    cached(items, cache_dir=tmp_path / "cache")
    (tmp_path / "Doe^John").rename(tmp_path / "moved")
    for number, item in enumerate(items):
        item["image"] = str(tmp_path / "moved" / f"MRN{number}.raw")
        item["id"] = f"new{number}"
    calls = Prepare.calls
    assert cached(items, cache_dir=tmp_path / "cache")[1]["id"] == "new1"
    assert Prepare.calls == calls


def test_a_file_hash_is_remembered_until_the_file_changes(items, tmp_path, monkeypatch):
    monkeypatch.setattr("monai_kd.data.cache_key._SETTLED_NS", 0)
    cached(items, cache_dir=tmp_path / "cache")
    np.zeros((SIZE, SIZE)).tofile(items[4]["image"])
    assert cached(items, cache_dir=tmp_path / "cache")[4]["image"].max() == 0
    monkeypatch.setattr("monai_kd.data.cache_key.sha256_of_file", None)
    cached(items, cache_dir=tmp_path / "cache")


def test_nothing_in_the_cache_names_a_file_a_patient_or_an_image(items, tmp_path):
    cached(items, cache_dir=tmp_path / "cache")
    for path in (tmp_path / "cache").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for secret in (
            b"Doe",
            b"MRN",
            b"hash0",
            b"patient0",
            b'"age',
            b"value_age",
            str(tmp_path).encode(),
        ):
            assert secret not in content
            assert secret.decode() not in path.name


def test_a_truncated_cache_is_built_again(items, tmp_path):
    expected = cached(items, cache_dir=tmp_path / "cache")[6]
    (folder,) = whole_folders(tmp_path)
    with (folder / "rows.u8").open("r+b") as file:
        file.truncate(100)
    assert_same(cached(items, cache_dir=tmp_path / "cache")[6], expected)


@pytest.mark.parametrize("name", ["small.npz", "layout.json", "rows.u8"])
def test_a_cache_with_a_broken_or_missing_file_is_built_again(items, tmp_path, name):
    expected = cached(items, cache_dir=tmp_path / "cache")[6]
    (folder,) = whole_folders(tmp_path)
    (folder / name).write_bytes(b"{")
    assert_same(cached(items, cache_dir=tmp_path / "cache")[6], expected)
    (folder / name).unlink()
    assert_same(cached(items, cache_dir=tmp_path / "cache")[6], expected)


def _build(items, folder, pause):
    cached(items, prepare=Prepare(pause=pause), cache_dir=folder)
    (folder.parent / f"calls{os.getpid()}").write_text(str(Prepare.calls))


def test_a_killed_build_leaves_nothing_that_looks_whole(items, tmp_path):
    items *= 10
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_build, args=(items, tmp_path / "cache", 0.03))
    process.start()
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("cache/*/rows.u8")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (half,) = whole_folders(tmp_path)
    assert cache_store.open_store(half) is None
    items = items[:7] * 10
    dataset = cached(items, prepare=Prepare(pause=0.03), cache_dir=tmp_path / "cache")
    assert_same(dataset[5], cached(items[:7])[5])
    assert len(whole_folders(tmp_path)) == 1  # what was left behind is swept up


def test_two_processes_building_at_once_do_no_harm(items, tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_build, args=(items, tmp_path / "cache", 0.02)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    calls = sorted(int(path.read_text()) for path in tmp_path.glob("calls*"))
    assert calls[0] == 0 < calls[1]  # the second one waited, and found it done
    assert len(whole_folders(tmp_path)) == 1
    dataset = cached(items, prepare=Prepare(pause=0.02), cache_dir=tmp_path / "cache")
    assert_same(dataset[1], cached(items)[1])


def test_without_locks_the_faster_of_two_builds_is_kept(items, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_store, "fcntl", None)
    take_name = cache_store._take_name

    def late(unfinished, folder):
        monkeypatch.setattr(cache_store, "_take_name", take_name)
        cached(items, cache_dir=tmp_path / "cache")
        take_name(unfinished, folder)

    monkeypatch.setattr(cache_store, "_take_name", late)
    assert_same(cached(items, cache_dir=tmp_path / "cache")[1], cached(items)[1])
    assert len(whole_folders(tmp_path)) == 1


def test_a_full_disk_is_said_before_anything_is_written(items, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("monai_kd.data.cache_store.shutil.disk_usage", lambda path: usage)
    with pytest.raises(MonaiKDError, match=r"must have 0\.0 MB free.*set it to None"):
        cached(items, cache_dir=tmp_path / "cache")
    assert whole_folders(tmp_path) == []


def test_a_disk_that_fills_up_while_building_leaves_nothing(items, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", "Doe^John")

    monkeypatch.setattr("monai_kd.data.cache_store.np.savez", full)
    with pytest.raises(MonaiKDError, match="the disk of `cache_dir` must have"):
        cached(items, cache_dir=tmp_path / "cache")
    assert whole_folders(tmp_path) == []


def spoil(items):
    """Three reasons in one data set: a missing file, a wrong shape, a value out of range."""
    Path(items[0]["image"]).unlink()
    np.zeros((SIZE, SIZE + 1)).tofile(items[2]["image"])
    np.full((SIZE, SIZE), np.nan).tofile(items[5]["image"])


@pytest.mark.parametrize("folder", [None, "cache"])
def test_all_unreadable_items_are_listed_at_once_without_names(items, tmp_path, folder):
    spoil(items)
    with pytest.raises(MonaiKDError, match="cannot be prepared") as raised:
        cached(items, cache_dir=folder and tmp_path / folder)
    message = str(raised.value)
    assert "3 of 7 items cannot be prepared" in message
    assert "item 0: a file is missing; item 2: `image` must have the shape" in message
    assert "item 5: `image` must lie in [0, 1], got nan to nan" in message
    assert "MRN" not in message
    assert "Doe" not in message
    assert not folder or whole_folders(tmp_path) == []


@pytest.mark.parametrize("folder", [None, "cache"])
def test_unreadable_items_can_be_skipped_and_the_others_keep_their_number(items, tmp_path, folder):
    good = cached(items)
    spoil(items)
    for _ in range(2):
        dataset = cached(items, cache_dir=folder and tmp_path / folder, on_error="skip")
        assert [dataset[i]["index"] for i in range(len(dataset))] == [1, 3, 4, 6]
        item = dataset[2]
        assert item.pop("view") == "PA"  # the item without one is left out
        assert_same(item, good[4])
        assert dataset[2]["id"] == "hash4"


def test_a_cache_with_items_left_out_is_not_taken_for_a_whole_one(items, tmp_path):
    spoil(items)
    cached(items, cache_dir=tmp_path / "cache", on_error="skip")
    with pytest.raises(MonaiKDError, match="3 of 7"):
        cached(items, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_data_set_without_a_readable_item_is_refused(items, on_error):
    for item in items:
        Path(item["image"]).unlink()
    with pytest.raises(MonaiKDError, match="7 of 7 items cannot be prepared"):
        cached(items, on_error=on_error)


def test_what_a_library_says_of_a_file_is_not_repeated(items):
    def prepare(item):
        if item["id"] == "hash3":
            raise ValueError(f"cannot parse {item['image']}")
        return Prepare()(item)

    with pytest.raises(MonaiKDError, match="cannot be prepared") as raised:
        cached(items, prepare=prepare)
    assert str(raised.value).endswith("item 3: ValueError in `prepare`")


def test_what_our_own_transforms_say_is_repeated_through_a_wrapper(items):
    def prepare(item):
        try:
            raise ValueError("RegionsToMaskd: `finding` must be one of a, b, got 'c'.")
        except ValueError as error:
            raise RuntimeError(f"applying to {item['image']}") from error

    with pytest.raises(MonaiKDError, match=r"item 0: RegionsToMaskd: `finding` must be one of a"):
        cached(items, prepare=prepare)


def test_an_array_that_some_items_lack_is_left_out_of_all(items, tmp_path, caplog):
    def prepare(item):
        out = Prepare()(item)
        return {k: v for k, v in out.items() if k != "region_mask" or item["id"] != "hash2"}

    for _ in range(2):
        dataset = cached(items, prepare=prepare, cache_dir=tmp_path / "cache")
        assert "region_mask" not in dataset[0]
        assert_same(dataset[1], {k: v for k, v in cached(items)[1].items() if k != "region_mask"})
    assert "`region_mask` is not in every item" in caplog.text


def test_the_size_is_logged_before_building(items, caplog):
    caplog.set_level(logging.INFO)
    cached(items)
    assert "preparing 7 images once, 0.0 MB in memory" in caplog.messages[0]
    assert "MRN" not in caplog.text


def test_a_pickled_data_set_carries_no_rows(items, tmp_path):
    dataset = cached(items * 100, cache_dir=tmp_path / "cache")
    expected = dataset[3]
    content = pickle.dumps(dataset)
    assert len(content) < (tmp_path / "cache").stat().st_size + 200 * len(items * 100)
    (folder,) = whole_folders(tmp_path)
    assert len(content) < (folder / "rows.u8").stat().st_size / 2
    assert_same(pickle.loads(content)[3], expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_number_of_workers_does_not_change_a_batch(items, tmp_path, workers):
    dataset = cached(items, augment=AddNoise(), cache_dir=tmp_path / "cache", seed=3)
    sampler = EpochSampler(len(items), shuffle=True, seed=1)
    sampler.set_epoch(2)
    loader = DataLoader(dataset, batch_size=3, sampler=sampler, num_workers=workers)
    for batch, indices in zip(loader, batches_of(sampler, 3), strict=True):
        expected = [dataset[pair] for pair in reversed(indices)][::-1]
        assert torch.equal(batch["image"], torch.stack([item["image"] for item in expected]))
        assert batch["index"].tolist() == [index for _, index in indices]


def batches_of(sampler, size):
    pairs = list(sampler)
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]


def test_a_draw_depends_on_seed_epoch_and_index_and_on_nothing_else(items):
    dataset = cached([items[0]] * 3, augment=AddNoise(), seed=3)
    first = dataset[2, 1]["image"]
    dataset[5, 0]
    assert torch.equal(dataset[2, 1]["image"], first)
    assert not torch.equal(dataset[2, 2]["image"], first)
    assert not torch.equal(dataset[1, 1]["image"], first)
    other_seed = cached([items[0]] * 3, augment=AddNoise(), seed=4)
    assert not torch.equal(other_seed[2, 1]["image"], first)
    assert torch.equal(dataset[1]["image"], dataset[0, 1]["image"])


def test_prepared_items_are_not_augmented(items):
    dataset = cached(items, augment=AddNoise())
    prepared = dataset.prepared_items()
    assert len(prepared) == len(items)
    for one, expected in zip(prepared, cached(items), strict=True):
        assert_same(one, expected)
    assert not torch.equal(dataset[0]["image"], prepared[0]["image"])


def test_indices_behave_like_those_of_a_list(items):
    dataset = cached(items)
    assert_same(dataset[-1], dataset[6])
    with pytest.raises(IndexError, match="index must be below 7, got 7"):
        dataset[7]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_error": "ignore"}, "`on_error` must be one of raise, skip, got 'ignore'"),
        ({"seed": -1}, r"`seed` must be from 0 to 2\*\*32 - 1, got -1"),
        ({"prepare": AddNoise()}, "`prepare` must be deterministic, got AddNoise"),
    ],
)
def test_refuses_settings_out_of_range(items, settings, message):
    with pytest.raises(ValueError, match=message):
        cached(items, **settings)


def test_refuses_an_empty_list():
    with pytest.raises(MonaiKDError, match="`data` must hold at least one item, got none"):
        cached([])


def test_refuses_vectors_of_different_length(items):
    items[3]["label"] = [0, 1, 1]
    with pytest.raises(MonaiKDError, match=r"`label`.*\(2,\) in item 6 and \(3,\) in item 3"):
        cached(items)


def test_a_description_tells_settings_apart_and_is_the_same_in_another_process(tmp_path):
    same = [describe(Prepare(gain=2.0)), describe(Prepare(gain=2.0))]
    assert same[0] == same[1] != describe(Prepare(gain=3.0))
    assert describe(lambda x: x + 1) != describe(lambda x: x + 2)
    assert describe(np.zeros(2)) != describe(np.ones(2))
    assert describe({"a": 1, "b": 2}) == describe({"b": 2, "a": 1})
    assert describe({"x", "y"}) == describe({"y", "x"})
    assert "0x" not in describe([Prepare(), object(), {"f": len}])


def test_the_files_of_the_cache_are_plain(items, tmp_path):
    cached(items, cache_dir=tmp_path / "cache")
    (folder,) = whole_folders(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"layout.json", "rows.u8", "small.npz"}
    assert json.loads((folder / "layout.json").read_text())["left_out"] == 0
    # 2 bytes per image pixel, 1 bit per mask pixel, rounded up to 64
    assert (folder / "rows.u8").stat().st_size == len(items) * (2 * 256 + 2 * 256 // 8)


def test_building_in_chunks_keeps_the_order(items, monkeypatch):
    monkeypatch.setattr(cache, "_CHUNK", 2)
    assert [item["index"] for item in cached(items)] == list(range(7))
