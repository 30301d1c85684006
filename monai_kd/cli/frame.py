# SPDX-License-Identifier: Apache-2.0
"""What all commands share: how their options are read, and how their tables are aligned."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

__all__ = ["add_command", "aligned"]


def add_command(
    subparsers: Any, name: str, *, description: str, example: str = ""
) -> argparse.ArgumentParser:
    """Add a command to ``python -m monai_kd``; its options are never abbreviated.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.
        name: the command.
        description: what it does, in a sentence or two; wrapped here.
        example: shown below the options as it stands.

    Returns:
        The command's parser, without options yet.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        description=textwrap.fill(description, 79),
        epilog=example or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def aligned(rows: Sequence[Sequence[str]], *, left: int = 0) -> str:
    """Return a table as text, two blanks between its columns, a line break after each row.

    Args:
        rows: cells of each row, equally many.
        left: how many columns, from the first, are aligned left; the others are aligned right.

    Example:
        >>> print(aligned([["section", "films"], ["test", "75"]], left=1), end="")
        section  films
        test        75
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)
