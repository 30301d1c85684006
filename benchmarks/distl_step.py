# SPDX-License-Identifier: Apache-2.0
"""Time a DISTL training step against the same step written plainly, and compare their losses.

    python benchmarks/distl_step.py [--part equality|step|loss|optimizer|memory|gpu] [--quick]

ViT-S/8, 256 px and 8 local views of 128 px, 65,536 prototypes, one film, one thread; CPU time, both
ways interleaved, medians of each round's ratio. The plain form is ``distl_reference.py``; both
start from the same weights. ``equality`` turns drop path off, because the two draw it differently.
``memory`` needs Linux. ``gpu`` is timed by the clock, in bfloat16.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from distl_reference import distl_loss
from distl_ways import QUICK, SHAPES, Ours, Plain, Settings, pairs, random_views, step
from torch import Tensor, nn

from monai_kd.losses import DINOLoss

PEAK_BF16 = 989e12  # of an H100 SXM, dense
Seconds = dict[str, dict[str, float]]  # of each way, by part
Medians = dict[str, tuple[float, float, float]]  # by part: plain, ours, ratio


class Stopwatch:
    """CPU seconds of this process, by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str, call: Callable[[], Any]) -> Any:
        """Call, and keep the time it took."""
        start = time.process_time()
        answer = call()
        self.seconds[part] = time.process_time() - start
        return answer

    def with_total(self, name: str) -> dict[str, float]:
        """Return the seconds by part, and their sum."""
        return self.seconds | {name: sum(self.seconds.values())}


def compare(settings: Settings, steps: int = 3) -> dict[str, float]:
    """Return relative differences over some steps without drop path.

    Paths are where the weights went from where they were: AdamW and the average are compared, too.
    """
    settings = replace(settings, drop_path=0.0)
    ours = Ours(settings)
    plain = Plain(settings, ours)
    networks = {
        "student's path": (ours.student, plain.student),
        "teacher's path": (ours.teacher.network, plain.teacher),
    }
    starts = {name: _copies(theirs) for name, (_, theirs) in networks.items()}
    found = {"first loss": 0.0, "first gradients, largest": 0.0, "later losses, largest": 0.0}
    for number in range(steps):
        views = random_views(settings, seed=number)
        mine, theirs = (step(way, views).item() for way in (ours, plain))
        name = "later losses, largest" if number else "first loss"
        found[name] = max(found[name], abs(mine - theirs) / abs(theirs))
        if number == 0:
            learned = [pair for pair in pairs(ours.student, plain.student) if pair[1].requires_grad]
            found["first gradients, largest"] = max(_distance(a.grad, b.grad) for a, b in learned)
    for name, (left, right) in networks.items():
        both = pairs(left, right)
        moved = [a - start for (a, _), start in zip(both, starts[name], strict=True)]
        reference = [b - start for (_, b), start in zip(both, starts[name], strict=True)]
        found[name] = _distance(_joined(moved), _joined(reference))
    return found


def time_steps(settings: Settings) -> Medians:
    """Time whole steps."""
    ours = Ours(settings)
    ways = {"plain": Plain(settings, ours), "ours": ours}

    def once(name: str, number: int) -> dict[str, float]:
        watch = Stopwatch()
        step(ways[name], random_views(settings, seed=number), watch)
        return watch.with_total("step")

    return _interleaved(settings.rounds, once)


def time_loss(settings: Settings) -> Medians:
    """Time last layer and loss, forward and backward, from given projections."""
    torch.manual_seed(0)
    batch = settings.batch_size
    dino = DINOLoss(settings.prototypes).train()

    def unit(rows: int) -> Tensor:
        return F.normalize(torch.randn(rows, settings.bottleneck), dim=-1)

    teacher = {"projection": unit(2 * batch), "prototypes": unit(settings.prototypes)}
    student = {
        "projection": unit((2 + settings.local_views) * batch).requires_grad_(),
        "prototypes": unit(settings.prototypes).requires_grad_(),
    }
    logits = torch.zeros(batch, 1)
    center = torch.zeros(1, settings.prototypes)

    def ours() -> None:
        names = {f"student_{name}": value for name, value in student.items()}
        names |= {f"teacher_{name}": value for name, value in teacher.items()}
        dino(**names).backward()

    def plain() -> None:
        both = student | {"logits_noised": logits}, teacher | {"logits_original": logits}
        distl_loss(*both, center, lam=1.0)[0].backward()

    def once(name: str, number: int) -> dict[str, float]:
        for value in student.values():
            value.grad = None
        watch = Stopwatch()
        watch(f"batch of {batch}", ours if name == "ours" else plain)
        return watch.seconds

    return _interleaved(settings.rounds, once)


def time_optimizer(settings: Settings, norm: float) -> Medians:
    """Time clipping, AdamW and the average, with every gradient of one norm."""
    ours = Ours(settings)
    plain = Plain(settings, ours)
    learned = [pair for pair in pairs(ours.student, plain.student) if pair[1].requires_grad]
    given = [torch.randn_like(a) for a, _ in learned]

    def once(name: str, number: int) -> dict[str, float]:
        way = ours if name == "ours" else plain
        for (a, b), gradient in zip(learned, given, strict=True):
            (a if name == "ours" else b).grad = gradient * (norm / gradient.norm())
        watch = Stopwatch()
        watch("clip", way.clip)
        watch("AdamW", way.optimizer.step)
        watch("average", way.average)
        return watch.with_total("all three")

    return _interleaved(3 * settings.rounds, once)


def memory(settings: Settings, arguments: list[str]) -> dict[str, int]:
    """Return in bytes what a second step takes of each way, each in a process of its own."""
    found = {}
    for name in ("plain", "ours"):
        command = [sys.executable, __file__, *arguments, "--child", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = int(json.loads(answer.stdout))
    return found


def memory_of(name: str, settings: Settings) -> int:
    """Return what a step takes above what stays: weights, teacher, AdamW's moments, views."""
    ours: Ours | None = Ours(settings)
    way: Any = ours if name == "ours" else Plain(settings, ours)
    ours = None
    step(way, random_views(settings, seed=0))
    views = random_views(settings, seed=1)
    way.optimizer.zero_grad()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident("VmRSS")
    step(way, views)
    return _resident("VmHWM") - before


def time_gpu(settings: Settings, steps: int = 10) -> dict[str, dict[str, float]]:
    """Return films a second, peak memory and share of the peak; our step must wait for nothing."""
    ours = Ours(settings)
    ways = {"plain": Plain(settings, ours), "ours": ours}
    views = random_views(settings, seed=0)
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, dict[str, float]] = {name: {} for name in ways}

    def autocast() -> torch.autocast:
        return torch.autocast(settings.device, torch.bfloat16)

    for _ in range(settings.rounds + 1):
        for name, way in ways.items():
            way.optimizer.zero_grad()
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            kept, start = torch.cuda.memory_allocated(), time.perf_counter()
            for _ in range(steps):
                step(way, views, autocast=autocast)
            torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start) / steps)
            found[name]["step memory, MB"] = (torch.cuda.max_memory_allocated() - kept) / 1e6
    for name, row in found.items():
        seconds = statistics.median(times[name][1:])  # the first round warms up
        row["films per s"] = settings.batch_size / seconds
        flops = needed_flops(settings, plain=name == "plain")
        row["share of peak"] = flops * row["films per s"] / PEAK_BF16
    torch.cuda.set_sync_debug_mode("error")
    step(ours, views, autocast=autocast)
    torch.cuda.set_sync_debug_mode("default")
    return found


def needed_flops(settings: Settings, *, plain: bool = False) -> float:
    """Return the additions and multiplications that one film's step needs.

    In the last block only the CLS token goes on, and dropped paths are not needed (their mean share
    is counted); backward is twice forward. ``plain`` counts all of them.
    """
    dim, depth, _, patch = SHAPES[settings.backbone]
    rows = 2 + settings.local_views

    def forward(size: int, drop_path: float) -> float:
        tokens = 1 + (size // patch) ** 2
        block = 24 * dim**2 * tokens + 4 * dim * tokens**2
        last = 4 * dim**2 * tokens + 20 * dim**2 + 4 * dim * tokens
        if plain:
            return depth * block
        return (1 - drop_path / 2) * ((depth - 1) * block + last)

    def head(rows: int) -> float:
        mlp = dim * settings.hidden + settings.hidden**2 + settings.hidden * settings.bottleneck
        return 2 * rows * (mlp + settings.bottleneck * settings.prototypes)

    student = 2 * forward(settings.size, settings.drop_path) + head(rows)
    student += settings.local_views * forward(settings.local_size, settings.drop_path)
    return 3 * student + 2 * forward(settings.size, 0.0) + head(2)


def _interleaved(rounds: int, once: Callable[[str, int], dict[str, float]]) -> Medians:
    """Return medians of both ways' seconds and of each round's ratio; the first round warms up."""
    taken: list[Seconds] = []
    for number in range(rounds + 1):
        order = ("plain", "ours") if number % 2 else ("ours", "plain")
        taken.append({name: once(name, number) for name in order})
    found = {}
    for part in taken[0]["ours"]:
        plain = [seconds["plain"][part] for seconds in taken[1:]]
        ours = [seconds["ours"][part] for seconds in taken[1:]]
        ratios = [a / b for a, b in zip(plain, ours, strict=True)]
        found[part] = statistics.median(plain), statistics.median(ours), statistics.median(ratios)
    return found


def _copies(network: nn.Module) -> list[Tensor]:
    return [b.detach().clone() for _, b in pairs(network, network)]


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _distance(ours: Tensor | None, plain: Tensor | None) -> float:
    if ours is None or plain is None:
        return float("inf")
    return ((ours - plain).norm() / plain.norm().clamp(min=1e-8)).item()


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def print_equality(settings: Settings, arguments: list[str]) -> None:
    """Print how far apart the two ways are."""
    print("relative difference of ours to plain, without drop path")
    found = compare(settings)
    for name, value in found.items():
        print(f"  {name:28} {value:.1e}")
    _print_goal(settings, "first loss at most 1e-5", found["first loss"] <= 1e-5)


def print_step(settings: Settings, arguments: list[str]) -> None:
    """Print the times of whole steps by part."""
    found = time_steps(settings)
    _print_times("one step", found)
    print("  (ours makes the gradient of the loss beside the loss, plain in the backward pass)")
    _print_goal(settings, "step at least 1.45", found["step"][2] >= 1.45)
    for name, seconds in zip(("plain", "ours"), found["step"], strict=False):
        counted = needed_flops(settings, plain=name == "plain") * settings.batch_size
        print(f"  {name}: {counted / seconds / 1e9:.0f} GFLOP/s of {counted / 1e9:.0f} GFLOP")


def print_loss(settings: Settings, arguments: list[str]) -> None:
    """Print the times of last layer and loss."""
    _print_times("last layer and loss", time_loss(settings))


def print_optimizer(settings: Settings, arguments: list[str]) -> None:
    """Print the times of what follows the backward pass."""
    for norm, title in ((1.0, "no gradient too long"), (10.0, "every one too long")):
        found = time_optimizer(settings, norm)
        _print_times(title, found)
        _print_goal(settings, "all three at least 2.5", found["all three"][2] >= 2.5)


def print_memory(settings: Settings, arguments: list[str]) -> None:
    """Print what a step takes above what stays."""
    found = memory(settings, arguments)
    ratio = found["ours"] / found["plain"]
    print(f"memory of a step: plain {found['plain'] / 1e6:.0f} MB, ", end="")
    print(f"ours {found['ours'] / 1e6:.0f} MB, ratio {ratio:.2f}")
    _print_goal(settings, "at most 0.6", ratio <= 0.6)


def print_gpu(settings: Settings, arguments: list[str]) -> None:
    """Print what a GPU does."""
    if not torch.cuda.is_available():
        raise SystemExit("distl_step: `--part gpu` needs a CUDA device.")
    for name, row in time_gpu(replace(settings, device="cuda")).items():
        print(f"{name:6} " + ", ".join(f"{key} {value:.3f}" for key, value in row.items()))


def _print_times(title: str, found: Medians) -> None:
    print(f"{title:28} {'plain ms':>10} {'ours ms':>10} {'ratio':>7}")
    for part, (plain, ours, ratio) in found.items():
        print(f"  {part:26} {1e3 * plain:10.1f} {1e3 * ours:10.1f} {ratio:7.2f}")


def _print_goal(settings: Settings, what: str, reached: bool) -> None:
    """Say whether a goal is reached; goals are set for the published sizes and one film."""
    if replace(settings, rounds=Settings.rounds) == Settings():
        print(f"  goal: {what}: {'reached' if reached else 'MISSED'}")


PARTS = {
    "equality": print_equality,
    "step": print_step,
    "loss": print_loss,
    "optimizer": print_optimizer,
    "memory": print_memory,
    "gpu": print_gpu,
}


def main() -> None:
    """Print the parts that were asked for; all but ``gpu`` if none was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--quick", action="store_true", help="ViT-Ti/16, 64 px, 512 prototypes")
    parser.add_argument("--backbone", choices=sorted(SHAPES))
    for name in ("size", "local-size", "local-views", "prototypes", "batch-size", "rounds"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--child", choices=["plain", "ours"], help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    chosen = {
        name: value
        for name, value in given.items()
        if name in Settings.__dataclass_fields__ and value is not None
    }
    settings = replace(QUICK if given["quick"] else Settings(), **chosen)
    torch.set_num_threads(1)
    if given["child"]:
        print(json.dumps(memory_of(given["child"], settings)))
        return
    print(f"torch {torch.__version__}, one thread, {settings}")
    for part in given["part"] or [name for name in PARTS if name != "gpu"]:
        print()
        PARTS[part](settings, sys.argv[1:])


if __name__ == "__main__":
    main()
