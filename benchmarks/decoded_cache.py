# SPDX-License-Identifier: Apache-2.0
"""Time a second epoch from the decoded cache beside MONAI's caches, and what augmentation costs.

    python benchmarks/decoded_cache.py [--images 256] [--size 256] [--rounds 7]

Each round reads every image once from each data set, in turn, in one process with one thread; the
median over rounds of the CPU time per image is printed, and its ratio to ours. An item is an image
and one mask. ``CacheDataset`` keeps float32 in memory and copies it for each read (its default).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from monai.data import CacheDataset, PersistentDataset
from monai.transforms import Compose, RandAffined

from monai_kd.data import CachedDataset
from monai_kd.transforms import RandShiftScaleRotated, strong_augmentation, weak_augmentation

GOAL_MS = 0.1


class Draw:
    """Stands for decoding: an image and a mask from the number of the item.

    Args:
        size: side of the image in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the item's image and mask.

        Args:
            item: holds ``number``.
        """
        random = np.random.default_rng(item["number"])
        image = random.random((1, self.size, self.size), dtype=np.float32)
        return {
            "image": torch.from_numpy(image),
            "region_mask": torch.from_numpy((image > 0.5).astype(np.float32)),
            "label": torch.tensor([0.0, 1.0]),
        }


def milliseconds(call: Callable[[int], object], count: int) -> float:
    """Return the CPU time of one call, in milliseconds.

    Args:
        call: takes the number of the call.
        count: number of calls.
    """
    started = time.process_time()
    for number in range(count):
        call(number)
    return (time.process_time() - started) / count * 1e3


def interleaved(
    calls: dict[str, Callable[[int], object]], count: int, rounds: int
) -> dict[str, float]:
    """Return the median milliseconds of each call, all timed by turns after one round unseen.

    Args:
        calls: what to time, by name.
        count: calls per round.
        rounds: rounds that count.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            times[name].append(milliseconds(call, count))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def show(title: str, times: dict[str, float]) -> None:
    """Print a table; ratios are to its first row.

    Args:
        title: heading.
        times: milliseconds by name.
    """
    print(f"\n{title}")
    first = next(iter(times.values()))
    for name, value in times.items():
        print(f"  {name:<44}{value:8.3f} ms{value / first:8.1f}x")


def main() -> None:
    """Run both tables and say whether the goal is met."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--images", type=int, default=256, help="images in the data set")
    parser.add_argument("--size", type=int, default=256, help="side of an image in pixels")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    items = [{"number": number} for number in range(chosen.images)]
    draw = Draw(chosen.size)
    with tempfile.TemporaryDirectory() as folder:
        disk = CachedDataset(items, prepare=draw, cache_dir=Path(folder, "ours"))
        memory = CachedDataset(items, prepare=draw)
        persistent = PersistentDataset(items, Compose([draw]), Path(folder, "theirs"))
        cache = CacheDataset(items, Compose([draw]), progress=False, num_workers=1)
        reads: dict[str, Callable[[int], object]] = {
            "CachedDataset, file": disk.__getitem__,
            "CachedDataset, memory": memory.__getitem__,
            "MONAI PersistentDataset": persistent.__getitem__,
            "MONAI CacheDataset": cache.__getitem__,
        }
        times = interleaved(reads, chosen.images, chosen.rounds)
    show(f"second epoch, image and mask, {chosen.size} px", times)
    met = times["CachedDataset, file"] <= GOAL_MS
    print(f"  goal: at most {GOAL_MS} ms per image: {'met' if met else 'MISSED'}")
    for size in (128, chosen.size):
        show(f"augmentation, one image, {size} px", interleaved(augmenters(size), 100, 5))


def augmenters(size: int) -> dict[str, Callable[[int], object]]:
    """Return the augmentations to time.

    Args:
        size: side of the image in pixels.
    """
    item = {"image": Draw(size)({"number": 0})["image"]}
    own = RandShiftScaleRotated("image")
    affine = RandAffined(
        "image",
        prob=1.0,
        rotate_range=np.deg2rad(10),
        scale_range=0.5,
        translate_range=0.1 * size,
        padding_mode="zeros",
    )
    weak, strong = weak_augmentation(), strong_augmentation()
    seeded = CachedDataset([{"number": 0}], prepare=Draw(size), augment=strong)
    return {
        "RandShiftScaleRotated": lambda _: own(item),
        "MONAI RandAffined, same ranges": lambda _: affine(item),
        "weak": lambda _: weak(item),
        "strong": lambda _: strong(item),
        "strong.set_random_state(seed)": strong.set_random_state,
        "CachedDataset seeds strong": lambda n: seeded._seed_augment(0, n),
    }


if __name__ == "__main__":
    main()
