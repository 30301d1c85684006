# SPDX-License-Identifier: Apache-2.0
"""Is ``precision: auto`` ever slower than float32? ``python benchmarks/precision.py``.

Times a training step of MONAI's ResNet-18 at 128 px, batch 16, in float32, in the format that
``auto`` chose here, and in bfloat16 for comparison; in turn and in processor time, so
that other load matters little.
Fails when auto is more than 2% slower than float32.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from monai.networks.nets import resnet18

from monai_kd.utils.precision import bfloat16_speedup, choose_precision

__all__ = ["Step"]


class Step:
    """One training step of a ResNet-18 in a given format.

    Args:
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        device: where to train.
        size: side of the square images, in pixels.
        batch_size: images of a step.
    """

    def __init__(self, precision: str, *, device: str, size: int, batch_size: int) -> None:
        torch.manual_seed(0)
        self.dtype = getattr(torch, precision)
        self.device = device
        network = resnet18(
            spatial_dims=2, n_input_channels=1, num_classes=2, conv1_t_size=7, conv1_t_stride=2
        )
        self.network = network.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.image = torch.rand(batch_size, 1, size, size, device=device)
        self.label = torch.randint(0, 2, (batch_size,), device=device)

    def seconds(self) -> float:
        """Take the step and return the processor time; on a GPU the time on the clock."""
        cuda = torch.device(self.device).type == "cuda"
        clock = time.perf_counter if cuda else time.process_time
        start = clock()
        self.optimizer.zero_grad()
        half = self.dtype != torch.float32
        with torch.autocast(torch.device(self.device).type, dtype=self.dtype, enabled=half):
            logits = self.network(self.image)
        torch.nn.functional.cross_entropy(logits.float(), self.label).backward()
        self.optimizer.step()
        if cuda:
            torch.cuda.synchronize()
        return clock() - start


def main() -> int:
    """Print a table; return 1 when auto is more than 2% slower than float32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    auto = choose_precision("auto", args.device)
    settings = {"device": args.device, "size": args.size, "batch_size": args.batch_size}
    steps = {name: Step(name, **settings) for name in dict.fromkeys(["float32", auto, "bfloat16"])}
    for step in steps.values():
        step.seconds()  # the first step allocates
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            seconds[name].append(step.seconds())
    print(f"device {args.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if args.device == "cpu":
        print(f"measured at start: bfloat16 {bfloat16_speedup():.2f} times as fast as float32")
    for name, values in seconds.items():
        pairs = zip(values, seconds["float32"], strict=True)
        ratio = statistics.median(value / reference for value, reference in pairs)
        mark = "  <- auto" if name == auto else ""
        print(f"{name:<9} {1e3 * min(values):8.1f} ms a step, {ratio:5.2f} of float32{mark}")
    pairs = zip(seconds[auto], seconds["float32"], strict=True)
    slower = statistics.median(value / reference for value, reference in pairs) > 1.02
    print("auto is slower than float32" if slower else "auto is not slower than float32")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
