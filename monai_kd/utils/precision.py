# SPDX-License-Identifier: Apache-2.0
"""Which number format to train in: half precision where it is faster, never where it is slower.

On a GPU half precision pays. On a CPU it depends on units that few processors have: without them
bfloat16 autocast is several times slower than float32. So ``auto`` measures once and decides.
"""

from __future__ import annotations

import functools
import logging
import statistics
import time
from typing import TYPE_CHECKING

from monai_kd.utils.checks import check_choice

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["bfloat16_speedup", "choose_precision"]

_LOGGER = logging.getLogger(__name__)
_CLEARLY_FASTER = 1.2  # deep networks gain more than the small one that is timed
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

    Times forward and backward of a small network, whose convolutions gain much and whose
    normalization, activation and pooling gain little, as in the networks that are trained. Both
    formats take turns and the processor's time counts, not the clock, so that other load matters
    little; the median over several rounds is returned. The answer is kept for the process; it
    takes about 0.2 s where bfloat16 is fast.
    """
    import torch

    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        network = _probe()
        image = torch.randn(4, 1, 96, 96)
    ratios = []
    for _ in range(_ROUNDS + 1):
        full = _time_one_step(network, image, torch.float32)
        half = _time_one_step(network, image, torch.bfloat16)
        ratios.append(full / max(half, 1e-9))
    return statistics.median(ratios[1:])  # the first round allocates


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

    def block(channels: int, *, width: int, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]

    return nn.Sequential(
        nn.Conv2d(1, 32, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        *block(32, width=32),
        *block(32, width=32),
        *block(32, width=64, stride=2),
        *block(64, width=64),
        *block(64, width=64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 2),
    )


def _seconds() -> float:
    """Return the processor's time, or the clock's where the former ticks too slowly (Windows)."""
    coarse = time.get_clock_info("process_time").resolution > 1e-4
    return time.perf_counter() if coarse else time.process_time()


def _time_one_step(network: nn.Module, image: torch.Tensor, dtype: torch.dtype) -> float:
    import torch

    start = _seconds()
    with torch.enable_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = network(image).float().square().mean()
        loss.backward()
    elapsed = _seconds() - start
    network.zero_grad()
    return elapsed
