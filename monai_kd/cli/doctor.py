# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd doctor``: what this machine can do, and what will be slow."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_kd.cli.frame import add_command

if TYPE_CHECKING:
    from monai_kd.cli.machine import Finding

__all__ = ["add_parser", "run"]

_MARKS = {"ok": "ok  ", "note": "note", "missing": "MISS"}


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    text = "Say what this machine can do and what will be slow."
    parser = add_command(subparsers, "doctor", description=text)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--quick", action="store_true", help="leave out what needs torch (GPU and speed)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="folder a run will write to (default: here)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the report; return 0 when the project can work here, else 1.

    Args:
        args: the parsed options.
    """
    from monai_kd.cli import machine

    sections: dict[str, Callable[[], list[Finding]]] = {
        "Packages": machine.packages,
        "DICOM files that can be read": machine.codecs,
        "Machine": lambda: machine.system(args.output),
    }
    if not args.quick:
        sections["Computing"] = machine.compute
    report: dict[str, list[Finding]] = {}
    for title, look in sections.items():  # printed one by one: the quick ones come first
        report[title] = look()
        if not args.json:
            sys.stdout.write(_table(title, report[title]))
            sys.stdout.flush()
    missing = [f for found in report.values() for f in found if f.state == "missing"]
    if args.json:
        sys.stdout.write(_as_json(report, ready=not missing))
    else:
        sys.stdout.write(_verdict(missing))
    return 1 if missing else 0


def _table(title: str, findings: list[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines = [title]
    for finding in findings:
        lines.append(f"  {_MARKS[finding.state]}  {finding.name:<{width}}  {finding.value}")
        if finding.hint:
            lines.append(f"  {'':<{width + 8}}{finding.hint}")
    return "\n".join(lines) + "\n\n"


def _as_json(report: dict[str, list[Finding]], *, ready: bool) -> str:
    sections = {title: [f.as_dict() for f in found] for title, found in report.items()}
    return json.dumps({"ready": ready, "sections": sections}, indent=2) + "\n"


def _verdict(missing: list[Finding]) -> str:
    if not missing:
        return "Ready. No network is needed from here on.\n"
    names = ", ".join(finding.name for finding in missing)
    return f"Not ready: {names}. What to do stands under each line marked MISS.\n"
