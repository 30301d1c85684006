# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd demo``: everything once, on drawn radiographs, ending with a page.

Each step is a command that a person can repeat; the demo prints it before it runs it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from monai_kd.cli.frame import add_command
from monai_kd.cli.steps import PROGRAM, Step, bundle_command, repository, run_steps, say

__all__ = ["add_parser", "plan", "run"]

_BUNDLE = Path("bundles") / "cxr_hkd_classification"


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser = add_command(
        subparsers,
        "demo",
        description=(
            "Draw radiographs, train a baseline and a student that learns from regions, evaluate "
            "both, predict, and write report.html. No network, no GPU, no data of your own."
        ),
    )
    parser.add_argument("--output", metavar="FOLDER", default="demo", help="default: demo")
    parser.add_argument("--quick", action="store_true", help="a minute; the numbers mean nothing")
    return parser


def run(args: argparse.Namespace) -> int:
    """Run all steps; the last line is the path of the page.

    Args:
        args: what :func:`add_parser` reads.

    Returns:
        0, or the exit code of the step that failed.
    """
    from monai_kd.utils import MonaiKDError

    bundle = repository() / _BUNDLE
    if not (bundle / "configs" / "train.json").is_file():
        raise MonaiKDError(
            "demo: the bundles must lie beside the package, as in a checkout of the repository, "
            "but are not there. Clone the repository and start the demo from it."
        )
    output = Path(args.output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    (output / "demo.log").unlink(missing_ok=True)
    steps = plan(output, bundle, quick=args.quick)
    start = time.monotonic()
    # Networks this small gain little from threads, and lose much on a busy machine.
    code = run_steps(
        steps, log=output / "demo.log", who="demo", environment={"OMP_NUM_THREADS": "1"}
    )
    if code:
        return code
    say(f"\nDone in {time.monotonic() - start:.0f} s. Open in a browser:\n")
    say(f"{output / 'hkd' / 'report.html'}\n")
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
            "Compare the two, film by film",
            (*PROGRAM, "monai_kd", "compare", str(student), str(baseline)),
            aloud=True,
        ),
        Step(
            "Write the page",
            (*PROGRAM, "monai_kd", "report", str(student), "--baseline", str(baseline)),
        ),
    ]


def _datalist(archive: Path) -> tuple[str, ...]:
    labels, regions = str(archive / "labels.csv"), str(archive / "regions.json")
    shares = ("--labeled", "1.0", "--rounds", "0", "--validation", "0.15", "--test", "0.25")
    command = (*PROGRAM, "monai_kd", "datalist", str(archive), "--overwrite")
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
    return bundle_command("configs/train.json", knobs), bundle


def _evaluate(bundle: Path, archive: Path, run_dir: Path) -> tuple[tuple[str, ...], Path]:
    knobs = {
        "method": run_dir.name,
        "dataset_dir": archive,
        "output_dir": run_dir,
        "cache_dir": run_dir.parent / "cache",
    }
    return bundle_command("['configs/train.json','configs/evaluate.json']", knobs), bundle


def _infer(
    bundle: Path, archive: Path, run_dir: Path, predictions: Path
) -> tuple[tuple[str, ...], Path]:
    knobs = {
        "dataset_dir": archive,
        "model_dir": run_dir,
        "output_dir": predictions,
        "heat_maps": True,
    }
    return bundle_command("configs/inference.json", knobs), bundle
