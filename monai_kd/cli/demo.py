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

__all__ = ["METHODS", "add_parser", "plan", "run"]

METHODS = ("hkd", "distl", "aals")
"""What the demo can show; each has a bundle."""

_BUNDLES = {
    "hkd": Path("bundles") / "cxr_hkd_classification",
    "distl": Path("bundles") / "cxr_distl_classification",
    "aals": Path("bundles") / "cxr_aals_fracture_detection",
}
_DISTL_ARCHIVE = {"images": 600, "size": 128}
_DISTL_KNOBS: dict[str, Any] = {
    "comparators": ["supervised"],
    "backbone": "resnet10-w16",
    "spatial_size": 96,
    "local_size": 48,
    "local_views": 2,
    "prototypes": 512,
    "projector_width": 256,
    "image_mean": 0.5,
    "image_sd": 0.25,
    "momentum": 0.99,
    "hand_over": "student",
    "rounds": 3,
    "initial_epochs": 30,
    "max_epochs": 5,
    "batch_size": 8,
    "initial_learning_rate": 0.001,
    "learning_rate": 0.0005,
    "precision": "float32",
}
"""Small enough for a laptop without a GPU."""
_DISTL_QUICK = {"images": 60, "size": 64}
_DISTL_QUICK_KNOBS: dict[str, Any] = {
    "comparators": ["supervised"],
    "rounds": 2,
    "initial_epochs": 1,
    "max_epochs": 1,
    "batch_size": 8,
    "prototypes": 64,
    "local_views": 2,
}
_AALS_ARCHIVE = {"images": 600, "size": 160}
_AALS_KNOBS: dict[str, Any] = {
    "backbone": "resnet10-w16",
    "norm": "group",
    "channels": 32,
    "spatial_size": 160,
    "positive_weight": 3.0,
    "batch_size": 8,
    "films_per_epoch": 400,
    "first_stage_epochs": 10,
    "max_epochs": 8,
    "learning_rate": 0.003,
    "second_learning_rate": 0.002,
    "momentum": 0.99,
    "max_gradient_norm": 1.0,
    "precision": "float32",
}
"""Fracture lines are thin: below 128 pixels they are lost."""
_AALS_QUICK = {"images": 80, "size": 64}
_AALS_QUICK_KNOBS: dict[str, Any] = {
    "spatial_size": 64,
    "radius": 2,
    "films_per_epoch": 16,
    "first_stage_epochs": 1,
    "max_epochs": 1,
}


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
            "Draw radiographs, train, evaluate, predict, and write report.html. No network, no "
            "GPU, no data of your own. hkd: a baseline, and a student that learns from regions. "
            "distl: a model that evolves with unlabeled films, beside one with labels alone. "
            "aals: fractures found from labels of whole films and a few boxes, beside boxes alone."
        ),
    )
    parser.add_argument("--output", metavar="FOLDER", default="demo", help="default: demo")
    parser.add_argument("--method", choices=METHODS, default="hkd", help="default: hkd")
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

    bundle = repository() / _BUNDLES[args.method]
    if not (bundle / "configs" / "train.json").is_file():
        raise MonaiKDError(
            "demo: the bundles must lie beside the package, as in a checkout of the repository, "
            "but are not there. Clone the repository and start the demo from it."
        )
    output = Path(args.output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    (output / "demo.log").unlink(missing_ok=True)
    steps = plan(output, bundle, quick=args.quick, method=args.method)
    start = time.monotonic()
    # Networks this small gain little from threads, and lose much on a busy machine.
    code = run_steps(
        steps, log=output / "demo.log", who="demo", environment={"OMP_NUM_THREADS": "1"}
    )
    if code:
        return code
    say(f"\nDone in {time.monotonic() - start:.0f} s. Open in a browser:\n")
    say(f"{output / args.method / 'report.html'}\n")
    return 0


def plan(output: Path, bundle: Path, *, quick: bool, method: str = "hkd") -> list[Step]:
    """Return the commands of the demo, in order.

    Args:
        output: gets the archive and the run directories.
        bundle: folder of the method's bundle.
        quick: whether to draw and train as little as possible.
        method: one of :data:`METHODS`.
    """
    return _PLANS[method](output, bundle, quick)


def _plan_hkd(output: Path, bundle: Path, quick: bool) -> list[Step]:
    archive, baseline, student = output / "phantom", output / "baseline", output / "hkd"
    images, size = (60, 128) if quick else (300, 256)
    draw = _draw(archive, images=images, size=size)
    return [
        Step("Draw an archive of radiographs", draw),
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


def _plan_distl(output: Path, bundle: Path, quick: bool) -> list[Step]:
    archive, run_dir = output / "phantom_tb", output / "distl"
    films = _DISTL_QUICK if quick else _DISTL_ARCHIVE
    knobs = {
        "method": "distl",
        "dataset_dir": archive,
        "output_dir": run_dir,
        **_DISTL_KNOBS,
        **(_DISTL_QUICK_KNOBS if quick else {}),
        "precision": "float32",
        "cache_dir": output / "cache",
        "resume": True,
    }
    train = bundle_command("configs/train.json", knobs), bundle
    return [
        Step(
            "Draw an archive of radiographs: a tenth is labeled, the rest arrives in three rounds",
            _draw(archive, **films, task="tb"),
        ),
        Step("Train the initial model, then a round for each arrival (distl)", *train),
        Step("Evaluate the models of all rounds", *_evaluate(bundle, archive, run_dir)),
        Step("Predict, with heat maps", *_infer(bundle, archive, run_dir, output / "predictions")),
        Step("Write the page", (*PROGRAM, "monai_kd", "report", str(run_dir))),
    ]


def _plan_aals(output: Path, bundle: Path, quick: bool) -> list[Step]:
    archive, run_dir, boxes = output / "phantom_fracture", output / "aals", output / "boxes_alone"
    films = _AALS_QUICK if quick else _AALS_ARCHIVE

    def train(method: str, folder: Path, **more: Any) -> tuple[tuple[str, ...], Path]:
        where = {"method": method, "dataset_dir": archive, "output_dir": folder, "resume": True}
        quickly = _AALS_QUICK_KNOBS if quick else {}
        knobs = where | _AALS_KNOBS | quickly | {"cache_dir": output / "cache"} | more
        return bundle_command("configs/train.json", knobs), bundle

    first = {"first_stage_path": run_dir / "first_stage" / "model.pt"}
    results = {"output_dir": output / "results", "pictures": 6, "dicom": True}
    infer = {"dataset_dir": archive, "model_dir": run_dir, **results}
    return [
        Step(
            "Draw an archive of radiographs: fractures named for all, boxes drawn on few",
            _draw(archive, **films, task="fracture"),
        ),
        Step("Train on boxes first, then on the labels of whole films (aals)",
             *train("aals", run_dir)),
        Step("Train as long on boxes alone", *train("supervised", boxes, **first)),
        Step("Evaluate the model of boxes alone",
             *_evaluate(bundle, archive, boxes, method="supervised")),
        Step("Evaluate aals", *_evaluate(bundle, archive, run_dir)),
        Step("Find fractures: tables, pictures, DICOM objects",
             bundle_command("configs/inference.json", infer), bundle),
        Step(
            "Compare the two, film by film",
            (*PROGRAM, "monai_kd", "compare", str(run_dir), str(boxes)),
            aloud=True,
        ),
        Step(
            "Write the page",
            (*PROGRAM, "monai_kd", "report", str(run_dir), "--baseline", str(boxes)),
        ),
    ]  # fmt: skip


_PLANS = {"hkd": _plan_hkd, "distl": _plan_distl, "aals": _plan_aals}


def _draw(archive: Path, **settings: Any) -> tuple[str, ...]:
    given = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    code = (
        "import sys; from monai_kd.data.phantom import draw_phantom_archive as draw; "
        f"draw(sys.argv[1], {given})"
    )
    return (sys.executable, "-c", code, str(archive))


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


def _evaluate(
    bundle: Path, archive: Path, run_dir: Path, *, method: str = ""
) -> tuple[tuple[str, ...], Path]:
    knobs = {
        "method": method or run_dir.name,
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
