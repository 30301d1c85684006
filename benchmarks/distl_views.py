# SPDX-License-Identifier: Apache-2.0
"""Time the views of distl beside the published chain of Pillow operations; compare their pixels.

    python benchmarks/distl_views.py [--films 40] [--source 1024] [--rounds 5] [--size 256]

The published chain is written here from its description: read the file, three equal channels,
resize; for each of the 9 changed views crop and resize (bicubic), mirror, rotate (nearest pixel),
autocontrast, equalize, Gaussian blur; every view becomes a float32 tensor. Both take the same drawn
numbers (mirrored with probability 0.5, as published). Ours starts from the decoded cache in memory.
Both end with a batch of 8 films; its transport between processes is not counted, nor is the change
to float32 on ours, which is done on the accelerator (timed alone, as ``views_to_float``).

One process with one thread, CPU time per film, ways interleaved, medians over rounds. The films are
drawn radiographs, PNG of ``--source`` pixels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from monai.transforms import Compose
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor

from monai_kd.data import CachedDataset, collate_items
from monai_kd.data.phantom import draw_phantom_archive
from monai_kd.transforms import (
    LoadRadiographd,
    RandViewsd,
    SquarePadResized,
    render_views,
    views_to_float,
)
from monai_kd.transforms.views_draw import LOCAL, NOISED, draw_views
from monai_kd.transforms.views_here import render_film

GOALS = {"bicubic": 7.0, "bilinear": 12.0}
LOCAL_VIEWS = 8
BATCH = 8
FLIP = 0.5
GRAY_GOAL = 1.0
VIEWS = ("original", "noised", "local")
_RECIPES = (NOISED, *(LOCAL,) * LOCAL_VIEWS)


def published_view(film: Image.Image, draw: NDArray[np.float32], size: int) -> Image.Image:
    """Return one view, one operation of Pillow after the other.

    Args:
        film: square, 8 bits, of one channel or three.
        draw: the view's row of ``draw_views``.
        size: side of the view in pixels.
    """
    left, top, width, height, flip, radians, autocontrast, equalize, radius = draw.tolist()
    view = film.crop((int(left), int(top), int(left + width), int(top + height)))
    view = view.resize((size, size), Image.Resampling.BICUBIC)
    if flip:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    view = view.rotate(np.rad2deg(radians), Image.Resampling.NEAREST)
    if autocontrast:
        view = ImageOps.autocontrast(view)
    if equalize:
        view = ImageOps.equalize(view)
    return view.filter(ImageFilter.GaussianBlur(radius)) if radius else view


def to_float(image: Image.Image) -> Tensor:
    """Return an image as float32, channel first, in [0, 1].

    Args:
        image: 8 bits, three channels.
    """
    levels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return levels.to(torch.float32).div(255)


def published_item(film: Image.Image, random: np.random.RandomState, size: int) -> list[Tensor]:
    """Return the ten views of a film as float32 tensors of three channels.

    Args:
        film: square, side ``size``, three channels.
        random: source of the numbers.
        size: side of the film and of its global view; local views have half of it.
    """
    draws = draw_views(random, size, _RECIPES, flip=FLIP)
    views = [published_view(film, draws[0], size)]
    views += [published_view(film, draw, size // 2) for draw in draws[1:]]
    return [to_float(view) for view in (film, *views)]


def read(path: Path, size: int) -> Image.Image:
    """Return the film of a file as three channels of the given side.

    Args:
        path: PNG.
        size: side in pixels.
    """
    return Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def ours(paths: list[Path], size: int, interpolation: str, render: str = "here") -> CachedDataset:
    """Return the films as the bundle prepares them.

    Args:
        paths: PNG files.
        size: side of the film and of its global view.
        interpolation: see ``RandViewsd``.
        render: see ``RandViewsd``.
    """
    return CachedDataset(
        [{"image": str(path)} for path in paths],
        prepare=Compose([LoadRadiographd("image"), SquarePadResized("image", spatial_size=size)]),
        augment=RandViewsd(
            spatial_size=size,
            local_size=size // 2,
            local_views=LOCAL_VIEWS,
            flip=FLIP,
            interpolation=interpolation,
            render=render,
        ),
    )


def times(
    calls: dict[str, Callable[[int], Any]], films: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Return the median milliseconds per film of each way, and of its ratio to the first way.

    Args:
        calls: makes the batch that starts at a film of this number, by name.
        films: films per round.
        rounds: rounds that count; one before them does not.
    """
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            started = time.process_time()
            for first in range(0, films, BATCH):
                call(first)
            seen[name].append((time.process_time() - started) / films * 1e3)
    base = next(iter(seen.values()))[1:]
    return {
        name: (
            statistics.median(values[1:]),
            statistics.median(b / v for b, v in zip(base, values[1:], strict=True)),
        )
        for name, values in seen.items()
    }


def differences(data: CachedDataset, size: int, interpolation: str) -> list[float]:
    """Return the mean difference in gray levels from the published chain, one per view.

    The outermost eighth on each side is left out: there a rotated view is black, and one pixel of
    its edge would count more than all the rest.

    Args:
        data: films whose views are rendered later, so that their numbers are known.
        size: side of the film and of its global view.
        interpolation: see ``RandViewsd``.
    """
    found = []
    for position in range(len(data)):
        item = data[0, position]
        film, draws = item["original"][0].numpy(), item["view_draws"].numpy()
        views = render_film(film, draws, local_size=size // 2, interpolation=interpolation)
        for draw, view in zip(draws, [views["noised"], *views["local"]], strict=True):
            side = view.shape[-1]
            theirs = np.asarray(published_view(Image.fromarray(film), draw, side), dtype=float)
            inner = slice(side // 8, side - side // 8)
            found.append(float(np.abs(view[0].numpy() - theirs)[inner, inner].mean()))
    return found


def show(name: str, milliseconds: float, ratio: float, goal: float | None = None) -> None:
    """Print one row.

    Args:
        name: the way.
        milliseconds: per film.
        ratio: how many times as fast as the published chain.
        goal: smallest ratio wanted, None for none.
    """
    verdict = "" if goal is None else f"  goal {goal:g}: {'met' if ratio >= goal else 'MISSED'}"
    print(f"  {name:<46}{milliseconds:8.2f} ms{1e3 / milliseconds:8.0f} /s{ratio:7.1f}x{verdict}")


def write_films(folder: Path, count: int, side: int) -> list[Path]:
    """Draw radiographs into PNG files.

    Args:
        folder: where to.
        count: number of films, at least 40.
        side: rows and columns.
    """
    drawn = draw_phantom_archive(folder / "archive", images=count, size=side, task="tb")
    load, paths = LoadRadiographd("image"), []
    for number, path in enumerate(sorted(drawn.glob("dicom/*.dcm"))):
        levels = load({"image": path})["image"][0].mul(255).round().to(torch.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(levels.numpy()).save(paths[-1])
    return paths


def main() -> None:
    """Print times, ratios and differences, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--films", type=int, default=40, help="films, at least 40")
    parser.add_argument("--source", type=int, default=1024, help="side of a film's file")
    parser.add_argument("--size", type=int, default=256, help="side of the global views")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    size = chosen.size
    with tempfile.TemporaryDirectory() as folder:
        paths = write_films(Path(folder), chosen.films, chosen.source)
        random = np.random.RandomState(0)
        films = [read(path, size) for path in paths]
        data = {name: ours(paths, size, name) for name in GOALS}
        later = {name: ours(paths, size, name, "later") for name in GOALS}

        def batch_from_files(first: int) -> list[Tensor]:
            items = [
                published_item(read(path, size), random, size)
                for path in paths[first : first + BATCH]
            ]
            return [torch.stack(views) for views in zip(*items, strict=True)]

        def batch_from_memory(first: int) -> list[Tensor]:
            items = [published_item(film, random, size) for film in films[first : first + BATCH]]
            return [torch.stack(views) for views in zip(*items, strict=True)]

        def batch_of(dataset: CachedDataset, first: int) -> dict[str, Any]:
            last = min(first + BATCH, len(dataset))
            return collate_items([dataset[0, number] for number in range(first, last)])

        def batch_later(dataset: CachedDataset, name: str, first: int) -> dict[str, Tensor]:
            batch = batch_of(dataset, first)
            return render_views(
                batch["original"], batch["view_draws"], local_size=size // 2, interpolation=name
            )

        calls: dict[str, Callable[[int], Any]] = {
            "published, from files": batch_from_files,
            "published, from films read before": batch_from_memory,
            **{f"ours, {name}": partial(batch_of, data[name]) for name in GOALS},
            "ours, what is left to a worker (render later)": partial(batch_of, later["bicubic"]),
            **{
                f"ours, rendered later on this processor, {name}": partial(
                    batch_later, later[name], name
                )
                for name in GOALS
            },
        }
        timed = times(calls, len(paths), chosen.rounds)
        print(
            f"films of {chosen.source} px, views of {size} and {size // 2} px, batches of {BATCH}"
        )
        for name, (milliseconds, ratio) in timed.items():
            show(name, milliseconds, ratio, GOALS.get(name.removeprefix("ours, ")))
        views = {k: v for k, v in batch_of(data["bicubic"], 0).items() if k in VIEWS}
        started = time.process_time()
        views_to_float(views)
        print(f"  views_to_float: {(time.process_time() - started) / BATCH * 1e3:.2f} ms per film")
        for name in GOALS:
            found = differences(later[name], size, name)
            verdict = "met" if statistics.median(found) < GRAY_GOAL else "MISSED"
            print(
                f"  gray levels from the published, {name}: median {statistics.median(found):.2f}, "
                f"95% below {np.quantile(found, 0.95):.2f}  goal {GRAY_GOAL:g}: {verdict}"
            )


if __name__ == "__main__":
    main()
