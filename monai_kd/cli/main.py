# SPDX-License-Identifier: Apache-2.0
"""Find the command, parse its options, run it, and say errors in one line.

A command is a module of this package with ``add_parser(subparsers)`` and ``run(args) -> int``. It
stands in a table, so that help needs neither torch nor MONAI nor any other command's module.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from monai_kd import __version__

__all__ = ["COMMANDS", "main"]

#: Name -> module and one line of help, in the order in which a user needs them.
COMMANDS: dict[str, tuple[str, str]] = {
    "doctor": ("monai_kd.cli.doctor", "say what this machine can do and what will be slow"),
    "demo": ("monai_kd.cli.demo", "run everything once on drawn radiographs, ending with a page"),
    "datalist": ("monai_kd.cli.datalist", "split a folder of radiographs by patient"),
    "export": ("monai_kd.cli.export", "write a run's model as TorchScript and ONNX, and compare"),
    "report": ("monai_kd.cli.report", "make one HTML page from a run directory"),
    "seeds": ("monai_kd.cli.seeds", "train and evaluate a bundle once per seed: mean, SD, CI"),
    "compare": ("monai_kd.cli.compare", "say whether one run is better than another, on its films"),
}
_PROGRAM = "python -m monai_kd"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the words after the program's name; those of the process when ``None``.

    Returns:
        0 when all went well, 1 when the command says so or fails in an unforeseen way, 2 when the
        user can mend it (a wrong option, a wrong file), 130 when stopped from the keyboard.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except KeyboardInterrupt:
        sys.stderr.write("monai_kd: stopped from the keyboard.\n")
        return 130
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the border: whatever it is, one line says it
        return _say(error)


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are said in one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and the message, without the usage lines.

        Args:
            message: what argparse found wrong.
        """
        end = "" if message.endswith("?") else "."
        sys.stderr.write(f"monai_kd: {message}{end} `{self.prog} --help` lists what there is.\n")
        raise SystemExit(2)


def _run(words: list[str]) -> int:
    parser = _Parser(prog=_PROGRAM, description=_description(), allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"monai_kd {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    chosen = next((word for word in words if not word.startswith("-")), None)
    module = _add_commands(subparsers, chosen)
    if chosen is None:
        return _run_without_command(parser, words)
    if module is None:
        parser.error(f"unknown command `{chosen}`{_nearest(chosen, _available())}")
    args, unknown = parser.parse_known_args(words)
    if hasattr(args, "knobs"):  # what is no option of its own, the command hands to a bundle
        args.knobs = unknown
    elif unknown:
        _refuse(unknown, subparsers.choices[chosen])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return int(module.run(args) or 0)


def _description() -> str:
    return (
        "Label-efficient radiograph models by knowledge distillation, as MONAI bundles. "
        "Training, evaluation and inference run as `python -m monai.bundle run`; these commands "
        "do what stands around it. For research, not for diagnosis."
    )


def _available() -> list[str]:
    return [name for name, (module, _) in COMMANDS.items() if importlib.util.find_spec(module)]


def _add_commands(
    subparsers: argparse._SubParsersAction[_Parser], chosen: str | None
) -> ModuleType | None:
    """Add the chosen command with its options, and the others with their line of help only."""
    module = None
    for name in _available():
        path, line = COMMANDS[name]
        if name == chosen:
            module = importlib.import_module(path)
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=line)
    return module


def _run_without_command(parser: _Parser, words: list[str]) -> int:
    _, unknown = parser.parse_known_args(words)  # --help and --version end here
    if unknown:
        _refuse(unknown, parser)
    parser.print_help()
    return 2


def _refuse(unknown: list[str], parser: argparse.ArgumentParser) -> NoReturn:
    word = unknown[0].partition("=")[0]
    if not word.startswith("-"):
        parser.error(f"unexpected argument `{word}`")
    options = [option for action in parser._actions for option in action.option_strings]
    parser.error(f"unknown option `{word}`{_nearest(word, options)}")


def _nearest(word: str, known: Sequence[str]) -> str:
    from monai_kd.utils import did_you_mean

    hint = did_you_mean(word, known)
    return f".{hint}" if hint else ""


def _say(error: Exception) -> int:
    from monai_kd.utils import MonaiKDError, describe_error, root_cause, wants_traceback

    if wants_traceback():
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.write(f"monai_kd: {describe_error(error)}\n")
    if isinstance(root_cause(error), (MonaiKDError, OSError)):
        return 2
    if not wants_traceback():
        sys.stderr.write("monai_kd: Set MONAI_KD_TRACEBACK=1 to see the traceback.\n")
    return 1
