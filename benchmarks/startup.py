# SPDX-License-Identifier: Apache-2.0
"""Processor time until our own commands answer: ``python benchmarks/startup.py``.

Counts the time of the child process and its children, not the clock, so that other load on the
machine matters little. Target: below 0.7 s. For scale it also times ``import monai``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

from monai_kd.cli.main import COMMANDS

__all__ = ["processor_seconds"]


def processor_seconds(words: list[str]) -> float:
    """Return user and system seconds of one run of Python with these arguments.

    Args:
        words: what follows ``python`` on the command line.
    """
    before = os.times()
    subprocess.run([sys.executable, *words], capture_output=True, check=False)
    after = os.times()
    children = after.children_user + after.children_system
    return children - before.children_user - before.children_system


def main() -> int:
    """Print a table; return 1 when help takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each command")
    parser.add_argument("--limit", type=float, default=0.7, help="seconds that help may take")
    args = parser.parse_args()
    starts = {"python -c pass": ["-c", "pass"], "monai_kd --help": ["-m", "monai_kd", "--help"]}
    for name in COMMANDS:
        starts[f"monai_kd {name} --help"] = ["-m", "monai_kd", name, "--help"]
    starts["monai_kd doctor --quick"] = ["-m", "monai_kd", "doctor", "--quick"]
    starts["monai_kd datalist, no label"] = [
        "-m",
        "monai_kd",
        "datalist",
        ".",
        "--labels",
        os.devnull,
    ]
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(args.runs):  # in turn, so that a slow moment hits all
        for name, words in starts.items():
            seconds[name].append(processor_seconds(words))
    seconds["import monai (1 run)"] = [processor_seconds(["-c", "import monai"])]
    print(f"{'command':<28} {'least s':>8} {'median s':>9}")
    for name, values in seconds.items():
        print(f"{name:<28} {min(values):>8.3f} {statistics.median(values):>9.3f}")
    slow = [n for n, v in seconds.items() if n.endswith("--help") and min(v) > args.limit]
    print(f"over {args.limit} s: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
