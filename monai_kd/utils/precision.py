# SPDX-License-Identifier: Apache-2.0
"""Which number format to train in: half precision where it is faster, never where it is slower.

On a GPU half precision pays. On a CPU it depends on units that few processors have: without them
bfloat16 autocast is several times slower than float32. So ``auto`` measures once and decides.
"""

from __future__ import annotations

import functools
import logging
import time
from typing import TYPE_CHECKING

from monai_kd.utils.checks import check_choice

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["bfloat16_speedup", "choose_precision"]

_LOGGER = logging.getLogger(__name__)
_CLEARLY_FASTER = 1.2
_ROUNDS = 5


def choose_precision(requested: str, device: str | torch.device) -> str:
    """Return the number format to train in: ``"float32"``, ``"bfloat16"`` or ``"float16"``.

    ``auto`` takes bfloat16 on GPUs that have it (compute capability 8 or more) and float16 on
    others; on a CPU it takes bfloat16 only when a short measurement, made once per process, finds
    it at least 1.2 times as fast as float32; elsewhere it takes float32.

    Args:
        requested: ``"auto"``, or one of the three formats, which is returned as it is.
        device: where the network will be, e.g. ``"cpu"`` or ``"cuda:0"``.

    Raises:
        ValueError: if ``requested`` is something else.

    Example:
        >>> choose_precision("float32", "cpu")
        'float32'
    """
    check_choice("choose_precision", "precision", requested, _choices())
    if requested != "auto":
        return requested
    kind = str(device).partition(":")[0]
    if kind == "cuda":
        return _choose_on_cuda(device)
    return _choose_on_cpu() if kind == "cpu" else "float32"


@functools.lru_cache(maxsize=1)
def bfloat16_speedup() -> float:
    """Return how many times as fast bfloat16 autocast trains on this CPU as float32.

    Times forward and backward of a small convolution and matrix product, both formats in turn so
    that other load hits both, and compares the best of several rounds. The answer is kept for the
    process; measuring takes tens of milliseconds where bfloat16 is fast.
    """
    import torch

    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        network = _probe()
        image = torch.randn(4, 32, 32, 32)
    full, half = [], []
    for _ in range(_ROUNDS):
        full.append(_time_one_step(network, image, torch.float32))
        half.append(_time_one_step(network, image, torch.bfloat16))
    return min(full) / min(half)


def _choices() -> tuple[str, ...]:
    return ("auto", "float32", "bfloat16", "float16")


def _choose_on_cuda(device: str | torch.device) -> str:
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    choice = "bfloat16" if major >= 8 else "float16"
    _LOGGER.info("precision: %s (compute capability %d.%d)", choice, major, minor)
    return choice


def _choose_on_cpu() -> str:
    speedup = bfloat16_speedup()
    choice = "bfloat16" if speedup >= _CLEARLY_FASTER else "float32"
    _LOGGER.info("precision: %s (bfloat16 is %.2f times as fast as float32 here)", choice, speedup)
    return choice


def _probe() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(2),
        nn.Linear(256, 256),
    )


def _time_one_step(network: nn.Module, image: torch.Tensor, dtype: torch.dtype) -> float:
    import torch

    start = time.perf_counter()
    with torch.enable_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = network(image).square().mean()
        loss.backward()
    elapsed = time.perf_counter() - start
    network.zero_grad()
    return elapsed
