# SPDX-License-Identifier: Apache-2.0
"""Time one update of a moving-average teacher against the alternatives, interleaved.

    python benchmarks/ema.py [--backbone resnet50] [--rounds 30]

The floor is one ``lerp_`` over a single flat tensor with as many numbers. One thread; CPU time, and
the median of each round's ratio, so that other load matters little. ``vit`` is a ViT-S of 22 M.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from ignite.engine import Engine
from ignite.handlers import EMAHandler
from torch import nn

from monai_kd.networks import BACKBONES, EMATeacher, build_backbone

MOMENTUM = 0.999
GOAL = 1.1


def main() -> None:
    """Print the median time of each way, and its ratio to the flat one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=[*sorted(BACKBONES), "vit"], default="resnet50")
    parser.add_argument("--rounds", type=int, default=30)
    settings = parser.parse_args()

    ways = prepare(settings.backbone)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(settings.rounds + 3):
        for name, step in ways.items():
            start = time.thread_time()
            step()
            times[name].append(time.thread_time() - start)
    print(f"{settings.backbone}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    ratios = {}
    for name, values in times.items():
        pairs = zip(values[3:], times["flat lerp_"][3:], strict=True)
        ratios[name] = statistics.median(seconds / flat for seconds, flat in pairs)
        milliseconds = 1e3 * statistics.median(values[3:])
        print(f"{name:32} {milliseconds:8.2f} ms  {ratios[name]:5.2f} x flat")
    verdict = "reached" if ratios["EMATeacher.update"] <= GOAL else "MISSED"
    print(f"goal: at most {GOAL} x flat: {verdict}")


def prepare(backbone: str) -> dict[str, Callable[[], object]]:
    """Return the ways to update, by name; each owns its teacher."""
    torch.set_num_threads(1)
    student = _vit() if backbone == "vit" else build_backbone(backbone, num_findings=1000)
    teacher = EMATeacher(student)
    slow, fast = _floats(copy.deepcopy(student)), _floats(student)
    # Ignite's momentum is the student's share.
    handler = EMAHandler(student, momentum=1 - MOMENTUM, handle_buffers="update")
    engine = Engine(lambda *_: None)
    engine.state.ema_momentum = 1 - MOMENTUM
    new = torch.cat([tensor.detach().flatten() for tensor in _floats(student)])
    flat = new.clone()

    def loop() -> None:
        for old, fresh in zip(slow, fast, strict=True):
            old.mul_(MOMENTUM).add_(fresh, alpha=1 - MOMENTUM)

    return {
        "flat lerp_": lambda: flat.lerp_(new, 1 - MOMENTUM),
        "EMATeacher.update": lambda: teacher.update(student, MOMENTUM),
        "loop of mul_ and add_": loop,
        "ignite EMAHandler": lambda: handler._update_ema_model(engine, "ema_momentum"),
    }


def _vit() -> nn.Module:
    """Return layers of the size of ViT-S; they are never run."""
    blocks = [nn.TransformerEncoderLayer(384, 6, 1536, batch_first=True) for _ in range(12)]
    return nn.Sequential(nn.Conv2d(1, 384, 16, 16), *blocks, nn.Linear(384, 1000))


def _floats(network: torch.nn.Module) -> list[torch.Tensor]:
    return [t.detach() for t in network.state_dict().values() if t.is_floating_point()]


if __name__ == "__main__":
    main()
