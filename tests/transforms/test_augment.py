# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandAffined, RandGaussianNoised
from torch.utils.data import DataLoader

from monai_kd.data.cache import CachedDataset
from monai_kd.data.sampler import EpochSampler
from monai_kd.transforms.augment import (
    augmentation,
    no_augmentation,
    strong_augmentation,
    weak_augmentation,
)


def item():
    noise = torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 24, 24)
    mask[0, 4:15, 6:18] = 1
    return {"image": noise, "region_image": noise.clone(), "region_mask": mask, "label": 1}


@pytest.mark.parametrize("name", ["weak", "strong"])
def test_results_are_plain_in_range_and_share_every_draw(name):
    augment = augmentation(name).set_random_state(seed=0)
    for _ in range(50):
        out = augment(item())
        assert type(out["image"]) is type(out["region_mask"]) is torch.Tensor
        assert torch.equal(out["image"], out["region_image"])
        assert out["image"].min() >= 0
        assert out["image"].max() <= 1
        assert set(out["region_mask"].unique().tolist()) <= {0.0, 1.0}
        assert out["image"].dtype == torch.float32


@pytest.mark.parametrize("name", ["weak", "strong"])
def test_a_seed_repeats_the_draws_and_another_does_not(name):
    augment = augmentation(name)
    first = augment.set_random_state(seed=1)(item())["image"]
    assert torch.equal(augment.set_random_state(seed=1)(item())["image"], first)
    assert not torch.equal(augment.set_random_state(seed=2)(item())["image"], first)


def test_keys_that_an_item_lacks_are_passed_over():
    out = strong_augmentation().set_random_state(seed=0)({"image": item()["image"], "label": 1})
    assert set(out) == {"image", "label"}


def test_other_names_of_images_and_masks_can_be_given():
    augment = weak_augmentation(image_keys=["view"], mask_keys=["lung_mask"])
    given = {"view": item()["image"], "lung_mask": item()["region_mask"], "image": item()["image"]}
    out = augment.set_random_state(seed=0)(given)
    assert not torch.equal(out["view"], given["view"])
    assert not torch.equal(out["lung_mask"], given["lung_mask"])
    assert torch.equal(out["image"], given["image"])


def test_the_mask_follows_the_geometry_alone():
    weak, strong = weak_augmentation(), strong_augmentation()
    for seed in range(5):
        one = weak.set_random_state(seed=seed)(item())
        other = strong.set_random_state(seed=seed)(item())
        assert torch.equal(one["region_mask"], other["region_mask"])
        assert not torch.equal(one["image"], other["image"])


def test_the_strong_one_draws_each_member_as_often_as_published(monkeypatch):
    augment = strong_augmentation().set_random_state(seed=0)
    counts = {}
    for group, one_of in enumerate(augment.transforms[1:]):
        for member in one_of.transforms:
            monkeypatch.setattr(
                type(member), "__call__", lambda self, data: (data["seen"].append(self), data)[1]
            )
            counts[group, type(member).__name__] = 0
    for _ in range(2000):
        out = augment({"seen": []})
        for group, member in enumerate(out["seen"]):
            counts[group, type(member).__name__] += 1 / 2000
    three, two, nothing = pytest.approx(0.3, abs=0.04), pytest.approx(0.45, abs=0.04), 0.1
    assert counts == {
        (0, "RandCLAHEd"): three,
        (0, "RandBrightnessContrastd"): three,
        (0, "RandGammad"): three,
        (0, "Identityd"): pytest.approx(nothing, abs=0.03),
        (1, "RandSharpend"): three,
        (1, "RandBlurd"): three,
        (1, "RandMotionBlurd"): three,
        (1, "Identityd"): pytest.approx(nothing, abs=0.03),
        (2, "RandBrightnessContrastd"): two,
        (2, "RandValueShiftd"): two,
        (2, "Identityd"): pytest.approx(nothing, abs=0.03),
    }


def test_none_changes_nothing():
    given = item()
    assert no_augmentation()(given) is given
    assert augmentation("none")(given) is given


def test_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="`name` must be one of none, weak, strong, got 'string'"):
        augmentation("string")


class Ready:
    """Items that need no preparing."""

    def __call__(self, given):
        image = np.random.RandomState(given["n"]).uniform(size=(1, 24, 24)).astype(np.float32)
        return {"image": MetaTensor(image), "region_mask": (image > 0.5).astype(np.float32)}


def cached(augment, tmp_path, **settings):
    items = [{"n": n} for n in range(6)]
    return CachedDataset(
        items, prepare=Compose([Ready()]), augment=augment, cache_dir=tmp_path / "c", **settings
    )


def monai_augmentation():
    return Compose(
        [
            RandAffined("image", prob=0.9, rotate_range=1.0, translate_range=5),
            RandGaussianNoised("image", prob=0.9),
        ]
    )


def epochs(dataset, workers, wanted):
    sampler = EpochSampler(len(dataset), shuffle=True, seed=0)
    batches = []
    for epoch in wanted:
        sampler.set_epoch(epoch)
        loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=workers)
        batches.append([torch.as_tensor(batch["image"]) for batch in loader])
    return batches


@pytest.mark.parametrize("make", [strong_augmentation, monai_augmentation])
def test_batches_depend_neither_on_workers_nor_on_a_restart(make, tmp_path):
    alone = epochs(cached(make(), tmp_path), 0, [0, 1, 2])
    workers = epochs(cached(make(), tmp_path), 2, [0, 1, 2])
    (resumed,) = epochs(cached(make(), tmp_path), 0, [2])
    for one, other in zip([*alone, alone[2]], [*workers, resumed], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(alone[0][0], alone[1][0])


def test_a_random_transform_in_prepare_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`prepare` must be deterministic, got RandGaussianNoised"):
        CachedDataset([{"n": 1}], prepare=Compose([Ready(), RandGaussianNoised("image")]))
