# SPDX-License-Identifier: Apache-2.0
"""Time the DINO loss, forward and backward, and measure its memory, against the pairwise sum.

    python benchmarks/distl_loss.py [--films 32] [--views 10] [--prototypes 65536] [--rounds 7]

"pairwise" is the formula as written: one cross-entropy for each pair of a teacher view and another
student view, by autograd. First on given logits, then from projections and prototypes, as in
training. One thread; CPU time; ways in turn, each three times of which the first, which finds the
other's memory, does not count; medians, and the median of the ratios. Memory: the peak of a process
of its own, less that of one that only holds the inputs and the gradients that come out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses import DINOLoss, dino_loss

WIDTH = 256
FASTER = 2.5
SMALLER = 0.1
Way = Callable[[], Tensor]


def main() -> None:
    """Print times, memory and differences, and whether the goals are reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=32)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--prototypes", type=int, default=65536)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=["inputs", "pairwise", "ours"], help=argparse.SUPPRESS)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if settings.only:
        run_once(settings)
        return
    print(
        f"torch {torch.__version__}, one thread, {settings.films} films of {settings.views} views"
    )
    ratio = time_ways("logits", *on_logits(settings), settings.rounds)
    print(f"goal: at least {FASTER} times as fast: {'reached' if ratio >= FASTER else 'MISSED'}")
    time_ways("projections and prototypes", *on_projections(settings), settings.rounds)
    for films in sorted({max(1, settings.films // 4), settings.films}):
        share = measure_memory(films)
    if settings.films >= 32:  # the logits of few films are held at once
        said = "reached" if share <= SMALLER else "MISSED"
        print(f"goal: at most {SMALLER} of the memory: {said}")


def on_logits(settings: argparse.Namespace) -> tuple[dict[str, Way], list[Tensor]]:
    """Return both ways from given logits, and what receives gradients."""
    films, numbers = settings.films, settings.prototypes
    student = torch.randn(settings.views * films, numbers).mul_(0.1).requires_grad_()
    teacher, center = 0.1 * torch.randn(2 * films, numbers), 0.01 * torch.randn(numbers)
    ways: dict[str, Way] = {
        "pairwise": lambda: pairwise(student, teacher, center),
        "dino_loss": lambda: dino_loss(student, teacher, center),
    }
    return ways, [student]


def on_projections(settings: argparse.Namespace) -> tuple[dict[str, Way], list[Tensor]]:
    """Return both ways from given projections and prototypes, and what receives gradients."""
    given = {
        "student_projection": directions(settings.views * settings.films).requires_grad_(),
        "student_prototypes": directions(settings.prototypes).requires_grad_(),
        "teacher_projection": directions(2 * settings.films),
        "teacher_prototypes": directions(settings.prototypes),
    }
    loss = DINOLoss(settings.prototypes)

    def plain() -> Tensor:
        student = given["student_projection"] @ given["student_prototypes"].T
        teacher = given["teacher_projection"] @ given["teacher_prototypes"].T
        return pairwise(student, teacher, loss.center)

    loss.eval()  # the center stays, so that both compute the same
    ways: dict[str, Way] = {"pairwise": plain, "DINOLoss": lambda: loss(**given)}
    return ways, [given["student_projection"], given["student_prototypes"]]


def directions(rows: int) -> Tensor:
    """Return random rows of length 1."""
    return F.normalize(torch.randn(rows, WIDTH))


def pairwise(student: Tensor, teacher: Tensor, center: Tensor) -> Tensor:
    """Return the loss, pair by pair."""
    films = len(teacher) // 2
    views = (student / 0.1).split(films)
    targets = F.softmax((teacher - center) / 0.04, dim=-1).detach().split(films)
    losses = [
        (-target * F.log_softmax(view, dim=-1)).sum(dim=-1).mean()
        for i, target in enumerate(targets)
        for v, view in enumerate(views)
        if v != i
    ]
    return torch.stack(losses).sum() / len(losses)


def time_ways(name: str, ways: dict[str, Way], inputs: list[Tensor], rounds: int) -> float:
    """Print times and differences; return how many times as fast the second way is."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    found: dict[str, list[Tensor]] = {}
    for _ in range(rounds):
        for way, compute in ways.items():
            for repetition in range(3):
                start = time.thread_time()
                loss, gradients = step(compute, inputs)
                if repetition:
                    times[way].append(time.thread_time() - start)
            found[way] = [loss, *gradients]
    (_, slow), (_, fast) = times.items()
    ratio = statistics.median(a / b for a, b in zip(slow, fast, strict=True))
    print(f"from {name}, forward and backward:")
    for way, seconds in times.items():
        print(f"    {way:10} {1e3 * statistics.median(seconds):8.1f} ms")
    expected, got = found.values()
    differences = [
        ((b - a).abs().max() / a.abs().max()).item() for a, b in zip(expected, got, strict=True)
    ]
    print(f"    {ratio:.2f} times as fast; largest relative differences of loss and gradients: ")
    print("    " + ", ".join(f"{difference:.1e}" for difference in differences))
    return ratio


def step(compute: Way, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return the loss and the gradients."""
    for tensor in inputs:
        tensor.grad = None
    loss = compute()
    loss.backward()
    return loss.detach(), [tensor.grad for tensor in inputs if tensor.grad is not None]


def measure_memory(films: int) -> float:
    """Print both ways' memory beyond inputs and gradients; return the ratio."""
    peaks = {}
    for only in ("inputs", "pairwise", "ours"):
        command = [sys.executable, __file__, *sys.argv[1:], "--films", str(films), "--only", only]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[only] = int(done.stdout)
    extra = {way: (peaks[way] - peaks["inputs"]) / 1024 for way in ("pairwise", "ours")}
    share = extra["ours"] / extra["pairwise"]
    print(
        f"memory, {films} films: pairwise {extra['pairwise']:.0f} MiB, DINOLoss "
        f"{extra['ours']:.0f} MiB, {share:.2f} of it"
    )
    return share


def run_once(settings: argparse.Namespace) -> None:
    """Print the peak of this process in KiB, after one way or none."""
    small = argparse.Namespace(films=2, views=3, prototypes=16)
    for compute in on_projections(small)[0].values():  # the libraries' own memory
        compute().backward()
    ways, inputs = on_projections(settings)
    if settings.only == "inputs":
        kept = [torch.ones_like(tensor) for tensor in inputs]
        del kept
    else:
        step(ways["pairwise" if settings.only == "pairwise" else "DINOLoss"], inputs)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
