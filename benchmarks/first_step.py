# SPDX-License-Identifier: Apache-2.0
"""Processor time of a bundle run until its first training step.

    python benchmarks/first_step.py

Runs the hkd bundle in this process, as ``python -m monai.bundle run`` does, on a phantom archive
drawn before, with the small settings of the demo, and stops it after one step. Goal: under 8 s.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BUNDLE = Path(__file__).parents[1] / "bundles" / "cxr_hkd_classification"
GOAL = 8.0
DRAW = "import sys; from monai_kd.data import draw_phantom_archive as draw; "
DRAW += "draw(sys.argv[1], images=60, size=128)"


def processor_seconds() -> float:
    """Return user and system seconds of this process since it started."""
    now = os.times()
    return now.user + now.system


def main() -> None:
    """Print where the time went, then leave."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "phantom")
        subprocess.run([sys.executable, "-c", DRAW, str(archive)], check=True)
        marks = [("Python", processor_seconds())]
        import monai  # noqa: F401
        from ignite.engine import Engine, Events

        marks.append(("import monai", processor_seconds()))
        fire = Engine._fire_event

        def stop_after_one_step(engine: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
            if type(engine).__name__ == "DistillationTrainer":
                if event == Events.STARTED:
                    marks.append(("settings, leak check, decoding", processor_seconds()))
                if event == Events.ITERATION_COMPLETED:
                    marks.append(("first step", processor_seconds()))
                    raise SystemExit
            return fire(engine, event, *args, **kwargs)

        Engine._fire_event = stop_after_one_step
        settings = {
            "config_file": BUNDLE / "configs" / "train.json",
            "bundle_root": BUNDLE,
            "dataset_dir": archive,
            "output_dir": Path(folder, "run"),
            "backbone": "resnet10-w16",
            "spatial_size": 64,
        }
        sys.argv = ["monai.bundle", "run"]
        sys.argv += [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        with contextlib.suppress(SystemExit):
            runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    before = 0.0
    for name, seconds in marks:
        print(f"{name:<32} {seconds:6.2f} s  (+{seconds - before:.2f})")
        before = seconds
    if marks[-1][0] != "first step":
        sys.exit("the run ended before its first step")
    print(f"goal: under {GOAL:.0f} s: {'reached' if before < GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
