# SPDX-License-Identifier: Apache-2.0
"""Time one update of a moving-average teacher against the alternatives, interleaved.

    python benchmarks/ema.py [--backbone resnet50] [--rounds 30]

The floor is one ``lerp_`` over a single flat tensor with as many numbers.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from ignite.engine import Engine
from ignite.handlers import EMAHandler

from monai_kd.networks import BACKBONES, EMATeacher, build_backbone

MOMENTUM = 0.999


def main() -> None:
    """Print the median time of each way, and its ratio to the flat one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default="resnet50")
    parser.add_argument("--rounds", type=int, default=30)
    settings = parser.parse_args()

    ways = prepare(settings.backbone)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(settings.rounds + 3):
        for name, step in ways.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values[3:]) for name, values in times.items()}
    print(f"{settings.backbone}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, seconds in median.items():
        print(f"{name:32} {1e3 * seconds:8.2f} ms  {seconds / median['flat lerp_']:5.2f} x flat")


def prepare(backbone: str) -> dict[str, Callable[[], object]]:
    """Return the ways to update, by name; each owns its teacher."""
    student = build_backbone(backbone, num_findings=1000, in_channels=3)
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


def _floats(network: torch.nn.Module) -> list[torch.Tensor]:
    return [t.detach() for t in network.state_dict().values() if t.is_floating_point()]


if __name__ == "__main__":
    main()
