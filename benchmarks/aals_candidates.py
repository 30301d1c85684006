# SPDX-License-Identifier: Apache-2.0
"""Time the way from maps to candidates, their matching, and the painting of regions.

    python benchmarks/aals_candidates.py [--films 10000] [--threads 1] [--rounds 3]

First: candidates of films with two maps of 128 x 128 cells each, matched to their lesions; wall
and CPU time on so many threads, without the making of the maps. Then, in CPU time of one thread, by
turns, the best of the rounds: the peaks of 32 maps of 512 x 512 beside MONAI's ``ProbNMS``, with
the number of peaks that are no local maxima; and masks of 32 films of 512 x 512 with five boxes or
points each beside the same formula on a grid of the whole film. Masks must be equal, or the run
stops.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import ProbNMS
from torch import Tensor

from monai_kd.data import regions_to_mask
from monai_kd.metrics import find_candidates, match_candidates, top_candidates

CHUNK = 32  # films at once, as an evaluation has them
SIDE = 512
MAPS = 32
RADIUS = 12
THRESHOLD = 0.3


def best_of(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """Return the best CPU time of each call in seconds, all timed by turns.

    Args:
        rounds: how often each is called.
        calls: what to time.
    """
    times = np.full((rounds, len(calls)), np.inf)
    for number in range(rounds):
        for place, call in enumerate(calls):
            started = time.process_time()
            call()
            times[number, place] = time.process_time() - started
    return [float(value) for value in times.min(axis=0)]


def hills(count: int, side: int, width: float, generator: torch.Generator) -> Tensor:
    """Return maps with five hills each, ``(count, side, side)``.

    Args:
        count: number of maps.
        side: cells of a side.
        width: standard deviation of a hill in cells.
        generator: where the places and heights come from.
    """
    axis = torch.arange(side)
    place = torch.rand(2, count, 5, 1, generator=generator) * side
    down, along = (-((axis - one) ** 2) / (2 * width**2) for one in place)
    height = 0.4 + 0.6 * torch.rand(count, 5, 1, 1, generator=generator)
    shape = (down.exp()[..., None] * along.exp()[:, :, None, :]) * height
    return shape.amax(1)


def film_maps(films: int) -> Iterator[Tensor]:
    """Yield maps of many films, some at once: five hills on a background that is not flat.

    Args:
        films: number of films.
    """
    generator = torch.Generator().manual_seed(0)
    for first in range(0, films, CHUNK):
        count = min(CHUNK, films - first)
        rough = torch.rand(count, 2, 32, 32, generator=generator) * 0.2
        background = F.interpolate(rough, size=(128, 128), mode="bilinear", align_corners=False)
        yield torch.maximum(background, hills(2 * count, 128, 4.0, generator).view_as(background))


def time_films(films: int, threads: int) -> None:
    """Print how long the candidates of all films and their matching take.

    Args:
        films: number of films.
        threads: of torch.
    """
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 110, (2 * films, 2, 2))
    lesions = np.concatenate([corner, corner + rng.integers(6, 18, corner.shape)], 2).reshape(-1, 4)
    parts: list[tuple[Any, ...]] = []
    wall = cpu = 0.0
    for number, maps in enumerate(film_maps(films)):
        started, worked = time.perf_counter(), time.process_time()
        score, _, peak = top_candidates(maps)
        used = (score > 0).flatten(0, 1)
        image = used.nonzero()[:, 0] + number * 2 * CHUNK
        chosen = (image, score.flatten(0, 1)[used], peak.flatten(0, 1)[used])
        parts.append(tuple(part.numpy() for part in chosen))
        wall += time.perf_counter() - started
        cpu += time.process_time() - worked
    started, worked = time.perf_counter(), time.process_time()
    where, height, place = (np.concatenate(column) for column in zip(*parts, strict=True))
    where_lesion = np.repeat(np.arange(2 * films), 2)
    found = match_candidates(
        where, height, np.tile(place, 2), where_lesion, lesions, images=2 * films
    )
    matching = time.perf_counter() - started
    wall, cpu = wall + matching, cpu + time.process_time() - worked
    print(
        f"{films:,} films with 2 maps of 128 x 128, {len(found.score):,} candidates, {threads} "
        f"thread{'s' if threads > 1 else ''}: {wall:.1f} s, CPU {cpu:.1f} s (goal 60 s on "
        f"two cores), of these matching {matching:.2f} s"
    )
    torch.set_num_threads(1)


def shoulders(heat: Tensor, index: Tensor) -> int:
    """Return how many peaks have a higher pixel within the radius.

    Args:
        heat: maps, ``(B, 1, H, W)``.
        index: image, row and column of the peaks, ``(M, 3)``.
    """
    highest = F.max_pool2d(heat, (2 * RADIUS + 1, 1), 1, (RADIUS, 0))
    highest = F.max_pool2d(highest, (1, 2 * RADIUS + 1), 1, (0, RADIUS))
    image, row, column = index.T
    return int((heat[image, 0, row, column] < highest[image, 0, row, column]).sum())


def compare_peaks(rounds: int) -> None:
    """Print the times of three ways to find peaks, and how many of theirs are no local maxima.

    Args:
        rounds: timed rounds.
    """
    generator = torch.Generator().manual_seed(1)
    heat = hills(MAPS, SIDE, 12.0, generator)[:, None]
    heat = heat + 0.02 * torch.rand(heat.shape, generator=generator)
    nms = ProbNMS(prob_threshold=THRESHOLD, box_size=2 * RADIUS + 1)

    def by_monai() -> list[tuple[int, ...]]:
        every = enumerate(heat[:, 0].clone())  # ProbNMS writes into what it is given
        return [(image, *map(int, peak[1:])) for image, one in every for peak in nms(one)]

    def by_slots() -> Tensor:
        score, _, peak = top_candidates(heat, RADIUS)
        film, _, slot = (score > THRESHOLD).nonzero().T
        return torch.cat([film[:, None], peak[film, 0, slot].long().flip(1)], 1)

    def by_index() -> Tensor:
        index = find_candidates(heat, radius=RADIUS, threshold=THRESHOLD, max_candidates=20)[0]
        return index[:, [0, 2, 3]]

    theirs = torch.tensor(by_monai())
    slow, *ours = best_of(rounds, by_monai, by_index, by_slots)
    print(
        f"peaks of {MAPS} maps of {SIDE} x {SIDE}: ProbNMS {slow * 1e3:.0f} ms, {len(theirs)} "
        f"peaks, {shoulders(heat, theirs)} of them no local maximum"
    )
    names = ("find_candidates", "top_candidates, boxes included")
    for name, seconds, found in zip(names, ours, (by_index(), by_slots()), strict=True):
        print(
            f"  {name}: {seconds * 1e3:.0f} ms, {slow / seconds:.1f}x (goal 1.8x), {len(found)} "
            f"peaks, {shoulders(heat, found)} of them no local maximum"
        )


def on_grid(regions: list[dict[str, Any]]) -> np.ndarray:
    """Return the mask by a formula that looks at every pixel of the film for each region.

    Args:
        regions: boxes or points.
    """
    row, column = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    mask = np.zeros((SIDE, SIDE), np.bool_)
    for region in regions:
        if "box" in region:
            x_min, y_min, x_max, y_max = region["box"]
            mask |= (column + 1 > x_min) & (column < x_max) & (row + 1 > y_min) & (row < y_max)
            continue
        x, y = region["point"]
        across = np.maximum(np.maximum(column - x, x - column - 1), 0)
        down = np.maximum(np.maximum(row - y, y - row - 1), 0)
        mask |= across**2 + down**2 < region["radius"] ** 2
    return mask[None].astype(np.uint8)


def compare_masks(rounds: int) -> None:
    """Print the times to paint regions, ours and on a grid, and check that the masks are equal.

    Args:
        rounds: timed rounds.
    """
    rng = np.random.default_rng(2)
    corner = rng.uniform(0, SIDE - 90, (MAPS, 5, 2))
    corners = np.concatenate([corner, corner + rng.uniform(20, 90, corner.shape)], axis=2)
    boxes = [[{"box": box, "finding": "f"} for box in film] for film in corners.tolist()]
    points = [
        [{"point": [x, y], "radius": 25.0, "finding": "f"} for x, y, *_ in film]
        for film in corners.tolist()
    ]
    for name, films in (("boxes", boxes), ("points", points)):
        for film in films:
            np.testing.assert_array_equal(regions_to_mask(film, ["f"], (SIDE, SIDE)), on_grid(film))
        fast, slow = best_of(
            rounds,
            lambda films=films: [regions_to_mask(film, ["f"], (SIDE, SIDE)) for film in films],  # type: ignore[misc]
            lambda films=films: [on_grid(film) for film in films],  # type: ignore[misc]
        )
        print(
            f"masks of {MAPS} films of {SIDE} x {SIDE} with five {name}: ours {fast * 1e3:.1f} ms, "
            f"on a grid {slow * 1e3:.0f} ms, {slow / fast:.0f}x (goal 20x); equal masks"
        )


def main() -> None:
    """Run the three parts."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--films", type=int, default=10_000, help="films of the first part")
    parser.add_argument("--threads", type=int, default=1, help="threads of the first part")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of the others")
    chosen = parser.parse_args()
    time_films(chosen.films, chosen.threads)
    compare_peaks(chosen.rounds)
    compare_masks(chosen.rounds)


if __name__ == "__main__":
    main()
