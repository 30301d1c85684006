# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd export``: a run as TorchScript and ONNX, with the largest difference."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from monai_kd.cli.frame import add_command
from monai_kd.cli.steps import repository

__all__ = ["add_parser", "run"]

_EXAMPLE = """\
example:
  python -m monai_kd export bundles/cxr_hkd_classification/models

Both files are made by MONAI's `ckpt_export` and `onnx_export`, and compared with the model on
random images: the largest difference of any logit, probability or score is printed, and, of a
model that gives candidates, how many of their boxes lie elsewhere."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser = add_command(
        subparsers,
        "export",
        description="Write model.ts and model.onnx into a run directory.",
        example=_EXAMPLE,
    )
    parser.add_argument("run_dir", metavar="RUN", help="output_dir of a training")
    parser.add_argument("--bundle", metavar="FOLDER", help="default: the bundle the run names")
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=("torchscript", "onnx"),
        default=["torchscript", "onnx"],
        help="default: both",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Export and print the largest differences.

    Args:
        args: what :func:`add_parser` reads.

    Returns:
        0.
    """
    from monai_kd.engines import export_model
    from monai_kd.utils import read_settings

    named = str(read_settings(args.run_dir).get("bundle", ""))
    bundle = args.bundle or repository() / "bundles" / named
    _check_bundle(Path(bundle))
    for exported in export_model(args.run_dir, bundle_root=bundle, formats=tuple(args.formats)):
        said = f"{exported.path}: largest difference {exported.largest_difference:.2g}"
        if exported.boxes:
            said += f", {exported.moved_boxes} of {exported.boxes} boxes elsewhere"
        sys.stdout.write(f"{said}\n")
    return 0


def _check_bundle(bundle: Path) -> None:
    from monai_kd.utils import MonaiKDError

    if not (bundle / "configs" / "inference.json").is_file():
        raise MonaiKDError(
            "export: the bundle that trained this run must be at hand, but is not. Give the run's "
            "directory as RUN, and the bundle's folder by `--bundle`."
        )
