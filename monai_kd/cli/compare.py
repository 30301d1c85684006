# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd compare``: whether the one model is better, on the same films."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_kd.cli.frame import add_command, aligned
from monai_kd.cli.steps import say

if TYPE_CHECKING:
    from monai_kd.report import Comparison

__all__ = ["add_parser", "run"]

_EXAMPLE = """\
example:
  python -m monai_kd compare runs/hkd runs/baseline
  python -m monai_kd compare runs/hkd runs/baseline --seeds --metric macro_auroc

Both must be evaluated on the same section. A gain is shown when its 95% interval does not hold 0;
films of one patient count together. NAME is one of macro_auroc, macro_auprc, accuracy,
balanced_accuracy, macro_f1, brier, froc_score. The first NAME is also given by group of patients,
and the first of macro_auroc, macro_auprc and brier by finding; froc_score is of single runs."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser = add_command(
        subparsers,
        "compare",
        description=(
            "Compare run A with run B on the films that both have judged: the difference of each "
            "score with its interval, over all films, by finding and by group of patients."
        ),
        example=_EXAMPLE,
    )
    parser.add_argument("ours", metavar="A", help="run that may be better")
    parser.add_argument("theirs", metavar="B", help="run it is compared with")
    parser.add_argument(
        "--seeds", action="store_true", help="A and B hold runs seed_0, seed_1, ...: pair them"
    )
    parser.add_argument(
        "--metric",
        nargs="+",
        action="extend",
        metavar="NAME",
        default=[],
        help="scores to compare (default: all)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers to a file, too")
    parser.add_argument("--markdown", metavar="FILE", help="write the table to a file, too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Compare, print the table, and write the files that are asked for.

    Args:
        args: what :func:`add_parser` reads.

    Returns:
        0, whatever the verdict.

    Raises:
        MonaiKDError: if the runs cannot be compared.
    """
    from monai_kd.cli.comparison_table import comparison_rows, describe
    from monai_kd.report import compare_runs, compare_seeds
    from monai_kd.utils import MonaiKDError

    compare = compare_seeds if args.seeds else compare_runs
    try:
        chosen = {"metrics": tuple(args.metric)} if args.metric else {}
        found = compare(args.ours, args.theirs, **chosen)
    except ValueError as error:
        raise MonaiKDError(str(error)) from None
    heading, notes = describe(found)
    rows = comparison_rows(found)
    say(f"{heading}\n\n{aligned(rows, left=1)}\n{notes}")
    _write(args, found, f"{heading}\n\n{_markdown(rows)}\n{notes}")
    return 0


def _write(args: argparse.Namespace, found: Comparison, table: str) -> None:
    from monai_kd.utils import write_text_atomically

    if args.json:
        write_text_atomically(Path(args.json), json.dumps(found.as_dict(), indent=2) + "\n")
    if args.markdown:
        write_text_atomically(Path(args.markdown), table)


def _markdown(rows: list[list[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |\n" for row in escaped]
    rule = "|".join(["---", *["---:"] * (len(rows[0]) - 1)])
    return "".join([lines[0], f"|{rule}|\n", *lines[1:]])
