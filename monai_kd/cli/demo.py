# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd demo``: everything once, on drawn radiographs, ending with a page.

Each step is a command that a person can repeat; the demo prints it before it runs it.
"""

from __future__ import annotations

import argparse
import collections
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["Step", "add_parser", "plan", "run"]

_BUNDLE = Path("bundles") / "cxr_hkd_classification"
_LAST_LINES = 15
_PROGRAM = (sys.executable, "-m")


@dataclass(frozen=True)
class Step:
    """One command of the demo.

    Args:
        name: what it does, in words.
        command: program and arguments.
        folder: where it runs; None is the folder the demo was started in.
    """

    name: str
    command: tuple[str, ...]
    folder: Path | None = None


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "demo",
        help="run everything once on drawn radiographs, ending with a page",
        description=(
            "Draw radiographs, train a baseline and a student that learns from regions, evaluate "
            "both, predict, and write report.html. No network, no GPU, no data of your own."
        ),
    )
    parser.add_argument("--output", metavar="FOLDER", default="demo", help="default: demo")
    parser.add_argument("--quick", action="store_true", help="a minute; the numbers mean nothing")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run all steps; the last line is the path of the page.

    Args:
        args: what :func:`add_parser` reads.

    Returns:
        0, or the exit code of the step that failed.
    """
    from monai_kd.utils import MonaiKDError

    bundle = _repository() / _BUNDLE
    if not (bundle / "configs" / "train.json").is_file():
        raise MonaiKDError(
            "demo: the bundles must lie beside the package, as in a checkout of the repository, "
            "but are not there. Clone the repository and start the demo from it."
        )
    output = Path(args.output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    steps = plan(output, bundle, quick=args.quick)
    start = time.monotonic()
    with (output / "demo.log").open("w", encoding="utf-8") as log:
        for number, step in enumerate(steps, 1):
            _say(f"\n[{number}/{len(steps)}] {step.name}\n{_shown(step)}\n")
            code = _run_step(step, log)
            if code:
                return code
    _say(f"\nDone in {time.monotonic() - start:.0f} s. Open in a browser:\n")
    _say(f"{output / 'hkd' / 'report.html'}\n")
    return 0


def plan(output: Path, bundle: Path, *, quick: bool) -> list[Step]:
    """Return the commands of the demo, in order.

    Args:
        output: gets ``phantom`` (the archive), ``baseline`` and ``hkd`` (run directories).
        bundle: folder of the hkd bundle.
        quick: whether to draw and train as little as possible.
    """
    archive, baseline, student = output / "phantom", output / "baseline", output / "hkd"
    images, size = (60, 128) if quick else (300, 256)
    draw = (
        "import sys; from monai_kd.data.phantom import draw_phantom_archive as draw; "
        f"draw(sys.argv[1], images={images}, size={size})"
    )
    return [
        Step("Draw an archive of radiographs", (sys.executable, "-c", draw, str(archive))),
        Step("Split it by patient", _datalist(archive)),
        Step("Train the baseline: image labels alone", *_train(bundle, archive, baseline, quick)),
        Step("Train teacher and student (hkd)", *_train(bundle, archive, student, quick)),
        Step("Evaluate the baseline", *_evaluate(bundle, archive, baseline)),
        Step("Evaluate the student", *_evaluate(bundle, archive, student)),
        Step("Predict, with heat maps", *_infer(bundle, archive, student, output / "predictions")),
        Step(
            "Write the page",
            (*_PROGRAM, "monai_kd", "report", str(student), "--baseline", str(baseline)),
        ),
    ]


def _datalist(archive: Path) -> tuple[str, ...]:
    labels, regions = str(archive / "labels.csv"), str(archive / "regions.json")
    shares = ("--labeled", "1.0", "--rounds", "0", "--validation", "0.15", "--test", "0.25")
    command = (*_PROGRAM, "monai_kd", "datalist", str(archive), "--overwrite")
    findings = ("--label-columns", "label")
    return (*command, "--labels", labels, "--regions", regions, *findings, *shares)


def _train(bundle: Path, archive: Path, run_dir: Path, quick: bool) -> tuple[tuple[str, ...], Path]:
    epochs, size = (1, 64) if quick else (30, 128)
    knobs = {
        "method": run_dir.name,
        "dataset_dir": archive,
        "output_dir": run_dir,
        "backbone": "resnet10-w16",
        "spatial_size": size,
        "augmentation": "weak",
        "teacher_epochs": max(1, epochs // 3),
        "max_epochs": epochs,
        "kd_epochs": max(1, 2 * epochs // 3),
        "batch_size": 16,
        "learning_rate": 0.001,
        "dropout": 0.1,
        "precision": "float32",
        "cache_dir": run_dir.parent / "cache",
        "resume": True,
    }
    return _bundle_run("configs/train.json", knobs), bundle


def _evaluate(bundle: Path, archive: Path, run_dir: Path) -> tuple[tuple[str, ...], Path]:
    knobs = {
        "method": run_dir.name,
        "dataset_dir": archive,
        "output_dir": run_dir,
        "cache_dir": run_dir.parent / "cache",
    }
    return _bundle_run("['configs/train.json','configs/evaluate.json']", knobs), bundle


def _infer(
    bundle: Path, archive: Path, run_dir: Path, predictions: Path
) -> tuple[tuple[str, ...], Path]:
    knobs = {
        "dataset_dir": archive,
        "model_dir": run_dir,
        "output_dir": predictions,
        "heat_maps": True,
    }
    return _bundle_run("configs/inference.json", knobs), bundle


def _bundle_run(config: str, knobs: dict[str, Any]) -> tuple[str, ...]:
    words = [word for name, value in knobs.items() for word in (f"--{name}", str(value))]
    return (*_PROGRAM, "monai.bundle", "run", "--config_file", config, *words)


def _repository() -> Path:
    import monai_kd

    return Path(monai_kd.__file__).resolve().parents[1]


def _shown(step: Step) -> str:
    """The command as a person types it."""
    words = ["python" if word == sys.executable else word for word in step.command]
    move = f"cd {shlex.quote(str(step.folder))} && " if step.folder else ""
    return f"$ {move}{shlex.join(words)}"


def _run_step(step: Step, log: IO[str]) -> int:
    """Run a step, its output to the log; on failure say which step, and the log's last lines."""
    begin = time.monotonic()
    log.write(f"{_shown(step)}\n")
    log.flush()
    last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        step.command,
        cwd=step.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Networks this small gain little from threads, and lose much on a busy machine.
        env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            _copy(process.stdout or (), log, last)
        except BaseException:
            process.terminate()  # do not leave a training behind when stopped from the keyboard
            raise
    if process.returncode:
        _say("".join(last))
        _say(f"demo: step failed: {step.name} (exit code {process.returncode}); see demo.log.\n")
        return process.returncode if process.returncode > 0 else 1
    _say(f"    {time.monotonic() - begin:.0f} s\n")
    return 0


def _copy(lines: Iterable[str], log: IO[str], last: collections.deque[str]) -> None:
    for line in lines:
        log.write(line)
        log.flush()
        last.append(line)


def _say(text: str | Sequence[str]) -> None:
    sys.stdout.write("".join(text))
    sys.stdout.flush()
