# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd report``: make one HTML page from a run directory."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from monai_kd.cli.frame import add_command

__all__ = ["add_parser", "run"]

_EXAMPLE = """\
example:
  python -m monai_kd report runs/hkd --baseline runs/baseline

The page holds all it needs: it opens from disk, without network. What the run has not written is
said on the page."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser = add_command(
        subparsers,
        "report",
        description="Write report.html into each run directory and print its path.",
        example=_EXAMPLE,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="output_dir of a training")
    parser.add_argument("--baseline", metavar="RUN", help="run to compare each of them with")
    return parser


def run(args: argparse.Namespace) -> int:
    """Build the pages and print their paths.

    Args:
        args: what :func:`add_parser` reads.

    Returns:
        0 when every run has got its page. Otherwise 2, or 1 for failures that nobody foresaw:
        the other runs have their pages, and a line says which RUN of the command has none.
    """
    from monai_kd.report import build_page

    code = 0
    for place, folder in enumerate(args.runs, start=1):
        try:
            _check_holds_a_run(Path(folder))
            page = build_page(folder, baseline_dir=args.baseline)
        except Exception as error:  # the border: the other runs still get their pages
            code = max(code, _say(error, place, len(args.runs)))
            continue
        if args.baseline:
            _write_picture(folder, args.baseline)
        sys.stdout.write(f"{page}\n")
    return code


def _check_holds_a_run(folder: Path) -> None:
    from monai_kd.utils import MonaiKDError

    files = ("config.json", "evaluation.json", "metrics.csv", "predictions.csv")
    if not folder.is_dir() or any((folder / name).exists() for name in files):
        return  # what is no folder is said by who reads it
    several = any((folder / "seed_0").glob("config.json"))
    raise MonaiKDError(
        "report: RUN must be a run directory, got a folder "
        + (
            "of runs with several seeds. Give one of them, such as its seed_0."
            if several
            else "without a run in it. Give the `output_dir` of a training or an evaluation."
        )
    )


def _write_picture(folder: str, baseline: str) -> None:
    from monai_kd.report import write_side_by_side
    from monai_kd.utils import MonaiKDError, read_settings

    if str(read_settings(folder).get("bundle", "")).endswith("_detection"):
        return  # a detector's films with boxes are on the page; it has no decision regions
    try:
        write_side_by_side(folder, baseline)
    except MonaiKDError as error:  # the page is there; only the picture is not
        sys.stderr.write(f"{error}\n")


def _say(error: Exception, place: int, runs: int) -> int:
    """One line, with the number of the RUN: its path may be called after a person."""
    from monai_kd.utils import MonaiKDError, describe_error, root_cause, wants_traceback

    if wants_traceback():
        sys.excepthook(type(error), error, error.__traceback__)
    which = f"RUN {place} of {runs}: " if runs > 1 else ""
    sys.stderr.write(f"monai_kd: {which}{describe_error(error)}\n")
    return 2 if isinstance(root_cause(error), (MonaiKDError, OSError)) else 1
