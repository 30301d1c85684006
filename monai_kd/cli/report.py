# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd report``: make one HTML page from a run directory."""

from __future__ import annotations

import argparse
import sys
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
        0.
    """
    from monai_kd.report import build_page, write_side_by_side
    from monai_kd.utils import MonaiKDError

    for folder in args.runs:
        page = build_page(folder, baseline_dir=args.baseline)
        if args.baseline:
            try:
                write_side_by_side(folder, args.baseline)
            except MonaiKDError as error:  # the page is there; only the picture is not
                sys.stderr.write(f"{error}\n")
        sys.stdout.write(f"{page}\n")
    return 0
