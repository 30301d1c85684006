# SPDX-License-Identifier: Apache-2.0
"""Time a training step of aals against the same step written plainly, and compare their losses.

    python benchmarks/aals_step.py [--part equality|step|memory|ways|loss|gpu] [--quick]

ResNet-50, pyramid of 256 channels, 512 px, batch of 8 films: 2 drawn, 2 that a teacher fills in, 4
negative; one thread; CPU time, both ways interleaved, medians of each round's ratio. The plain form
is ``aals_reference.py``; both start from the same weights. ``ways`` times our step with each of its
parts done the plain way; ``memory`` needs Linux; ``gpu`` is timed by the clock, in bfloat16.
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
from aals_ways import QUICK, WAYS, Ours, Plain, Settings, pairs, random_batch, step
from torch import Tensor

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
    """Return relative differences over some steps, in the student's and the teacher's weights too.

    Paths are where the weights went from where they were: Adam and the average are compared, too.
    """
    ours = Ours(settings)
    plain = Plain(settings, ours)
    networks = {
        "student's path": (ours.student.network, plain.student),
        "teacher's path": (ours.teacher.network.network, plain.teacher),
    }
    starts = {
        name: [tensor.detach().clone() for _, tensor in pairs(*both)]
        for name, both in networks.items()
    }
    found = {"first loss": 0.0, "first gradients, largest": 0.0, "later losses, largest": 0.0}
    for number in range(steps):
        batch = random_batch(settings, seed=number)
        mine, theirs = (step(way, batch).item() for way in (ours, plain))
        name = "later losses, largest" if number else "first loss"
        found[name] = max(found[name], abs(mine - theirs) / abs(theirs))
        if number == 0:
            both = pairs(ours.student.network, plain.student)
            found["first gradients, largest"] = max(_distance(a.grad, b.grad) for a, b in both)
    for name, both_networks in networks.items():
        both = pairs(*both_networks)
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
        step(ways[name], random_batch(settings, seed=number), watch)
        return watch.with_total("step")

    return _interleaved(settings.rounds, once)


def time_ways(settings: Settings) -> dict[str, Medians]:
    """Time our step against ours with one thing done the plain way."""
    found = {}
    for changed in WAYS:
        ways = {"plain": Ours(settings, without=changed), "ours": Ours(settings)}

        def once(name: str, number: int, ways: dict[str, Ours] = ways) -> dict[str, float]:
            watch = Stopwatch()
            step(ways[name], random_batch(settings, seed=number), watch)
            return watch.with_total("step")

        found[changed] = _interleaved(settings.rounds, once)
    return found


def time_loss(settings: Settings) -> Medians:
    """Time roles, targets, sharpening and loss, forward and backward, from given maps."""
    ours = Ours(settings)
    plain = Plain(settings, ours)
    batch = random_batch(settings, seed=0)
    cells = -(-settings.size // 4)
    shape = (settings.batch_size, settings.findings, cells, cells)
    teacher = torch.randn(shape)

    def once(name: str, number: int) -> dict[str, float]:
        way = ours if name == "ours" else plain
        maps = torch.randn(shape, requires_grad=True)
        targets = {key: value for key, value in batch.items() if not key.endswith("image")}
        if name == "ours":
            targets["teacher_map_logits"] = teacher
            student: Any = {"map_logits": maps}
        else:
            targets, student = {"batch": targets, "teacher": teacher}, maps  # type: ignore[dict-item]
        watch = Stopwatch()
        loss = watch("forward", lambda: way.loss(student, targets))
        watch("backward", loss.backward)
        return watch.with_total("both")

    return _interleaved(10 * settings.rounds, once)


def memory(arguments: list[str]) -> dict[str, int]:
    """Return in bytes what a second step takes of each way, each in a process of its own."""
    found = {}
    for name in ("plain", "ours"):
        command = [sys.executable, __file__, *arguments, "--child", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = int(json.loads(answer.stdout))
    return found


def memory_of(name: str, settings: Settings) -> int:
    """Return what a step takes above what stays: weights, teacher, Adam's moments, the batch."""
    ours: Ours | None = Ours(settings)
    way: Any = ours if name == "ours" else Plain(settings, ours)
    ours = None
    step(way, random_batch(settings, seed=0))
    batch = random_batch(settings, seed=1)
    way.optimizer.zero_grad()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident("VmRSS")
    step(way, batch)
    return _resident("VmHWM") - before


def time_gpu(settings: Settings, steps: int = 10) -> dict[str, dict[str, float]]:
    """Return films a second and peak memory."""
    ours = Ours(settings)
    ways = {"plain": Plain(settings, ours), "ours": ours}
    batch = random_batch(settings, seed=0)
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, dict[str, float]] = {name: {} for name in ways}

    def autocast() -> Any:
        return torch.autocast(settings.device, torch.bfloat16)

    for _ in range(settings.rounds + 1):
        for name, way in ways.items():
            way.optimizer.zero_grad()
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            kept, start = torch.cuda.memory_allocated(), time.perf_counter()
            for _ in range(steps):
                step(way, batch, autocast=autocast)
            torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start) / steps)
            found[name]["step memory, MB"] = (torch.cuda.max_memory_allocated() - kept) / 1e6
    for name, row in found.items():
        seconds = statistics.median(times[name][1:])  # the first round warms up
        row["films per s"] = settings.batch_size / seconds
    return found


def _interleaved(rounds: int, once: Callable[[str, int], dict[str, float]]) -> Medians:
    """Return medians of both ways' seconds and of each round's ratio; the first round warms up."""
    taken: list[dict[str, dict[str, float]]] = []
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
    print("relative difference of ours to plain")
    found = compare(settings)
    for name, value in found.items():
        print(f"  {name:28} {value:.1e}")
    _print_goal(settings, "first loss at most 1e-5", found["first loss"] <= 1e-5)


def print_step(settings: Settings, arguments: list[str]) -> None:
    """Print the times of whole steps by part."""
    found = time_steps(settings)
    _print_times("one step", found)
    _print_goal(settings, "step at least 1.15", found["step"][2] >= 1.15)


def print_ways(settings: Settings, arguments: list[str]) -> None:
    """Print what each of our ways brings."""
    for name, found in time_ways(settings).items():
        _print_times(f"without {name}", found)


def print_loss(settings: Settings, arguments: list[str]) -> None:
    """Print the times of roles, targets and loss."""
    _print_times("roles, targets and loss", time_loss(settings))


def print_memory(settings: Settings, arguments: list[str]) -> None:
    """Print what a step takes above what stays."""
    found = memory(arguments)
    print(f"memory of a step: plain {found['plain'] / 1e6:.0f} MB, ", end="")
    print(f"ours {found['ours'] / 1e6:.0f} MB, ratio {found['ours'] / found['plain']:.2f}")


def print_gpu(settings: Settings, arguments: list[str]) -> None:
    """Print what a GPU does."""
    if not torch.cuda.is_available():
        raise SystemExit("aals_step: `--part gpu` needs a CUDA device.")
    for name, row in time_gpu(replace(settings, device="cuda")).items():
        print(f"{name:6} " + ", ".join(f"{key} {value:.3f}" for key, value in row.items()))


def _print_times(title: str, found: Medians) -> None:
    print(f"{title:28} {'plain ms':>10} {'ours ms':>10} {'ratio':>7}")
    for part, (plain, ours, ratio) in found.items():
        print(f"  {part:26} {1e3 * plain:10.1f} {1e3 * ours:10.1f} {ratio:7.2f}")


def _print_goal(settings: Settings, what: str, reached: bool) -> None:
    """Say whether a goal is reached; goals are set for ResNet-50, 512 px and 8 films."""
    if replace(settings, rounds=Settings.rounds) == Settings():
        print(f"  goal: {what}: {'reached' if reached else 'MISSED'}")


PARTS = {
    "equality": print_equality,
    "step": print_step,
    "loss": print_loss,
    "memory": print_memory,
    "ways": print_ways,
    "gpu": print_gpu,
}
NOT_BY_DEFAULT = ("ways", "gpu")


def main() -> None:
    """Print the parts that were asked for; all but ``ways`` and ``gpu`` if none was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--quick", action="store_true", help="resnet10-w16, 64 px, 4 films")
    parser.add_argument("--backbone")
    for name in ("size", "channels", "findings", "batch-size", "rounds"):
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
    for part in given["part"] or [name for name in PARTS if name not in NOT_BY_DEFAULT]:
        print()
        PARTS[part](settings, sys.argv[1:])


if __name__ == "__main__":
    main()
