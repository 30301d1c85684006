# SPDX-License-Identifier: Apache-2.0
"""Commands that run one after the other, each shown as a person would type it."""

from __future__ import annotations

import collections
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["PROGRAM", "Step", "bundle_command", "repository", "run_steps", "say", "shown"]

PROGRAM = (sys.executable, "-m")
"""How a Python program is started: the words before the name of its module."""
_LAST_LINES = 15


@dataclass(frozen=True)
class Step:
    """One command of several.

    Args:
        name: what it does, in words.
        command: program and arguments.
        folder: where it runs; None is the folder that the program was started in.
        aloud: whether what it prints is shown too, not only kept in the log.
    """

    name: str
    command: tuple[str, ...]
    folder: Path | None = None
    aloud: bool = False


def bundle_command(config: str, knobs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return ``python -m monai.bundle run`` with a configuration and its knobs.

    Args:
        config: a file, or a list of files as text: ``"['train.json','evaluate.json']"``.
        knobs: settings by name.
    """
    words = [word for name, value in knobs.items() for word in (f"--{name}", str(value))]
    return (*PROGRAM, "monai.bundle", "run", "--config_file", config, *words)


def repository() -> Path:
    """Return the folder that holds the package and, in a checkout, the bundles."""
    import monai_kd

    return Path(monai_kd.__file__).resolve().parents[1]


def shown(step: Step) -> str:
    """Return the command as a person types it.

    Args:
        step: the command.
    """
    words = ["python" if word == sys.executable else word for word in step.command]
    move = f"cd {shlex.quote(str(step.folder))} && " if step.folder else ""
    return f"$ {move}{shlex.join(words)}"


def run_steps(
    steps: Sequence[Step],
    *,
    log: str | os.PathLike[str],
    who: str,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Show and run steps until one fails; of that one, say its name and the log's last lines.

    Args:
        steps: the commands, in order.
        log: text file that gets what they print, after what is there already.
        who: the program that runs the steps, for its messages.
        environment: variables the commands get, unless they are set already.

    Returns:
        0, or the exit code of the step that failed.
    """
    variables = {**(environment or {}), **os.environ, "PYTHONUNBUFFERED": "1"}
    with Path(log).open("a", encoding="utf-8") as file:
        for number, step in enumerate(steps, 1):
            say(f"\n[{number}/{len(steps)}] {step.name}\n{shown(step)}\n")
            begin = time.monotonic()
            file.write(f"{shown(step)}\n")
            file.flush()
            code, last = _run(step, file, variables)
            if code:
                say(f"{last}{who}: step failed: {step.name} (exit code {code}); see {who}.log.\n")
                return code if code > 0 else 1
            say(f"    {time.monotonic() - begin:.0f} s\n")
    return 0


def say(text: str) -> None:
    """Print at once, also into a pipe.

    Args:
        text: with its own line breaks.
    """
    sys.stdout.write(text)
    sys.stdout.flush()


def _run(step: Step, log: IO[str], variables: Mapping[str, str]) -> tuple[int, str]:
    """Run a step, its output to the log; return its exit code and its last words."""
    last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        step.command,
        cwd=step.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(variables),
    ) as process:
        try:
            _copy(process.stdout or (), log, last, aloud=step.aloud)
        except BaseException:
            process.terminate()  # do not leave a training behind when stopped from the keyboard
            raise
    return process.returncode, "".join(last)


def _copy(lines: Iterable[str], log: IO[str], last: collections.deque[str], *, aloud: bool) -> None:
    for line in lines:
        if aloud:
            say(line)
        log.write(line)
        log.flush()
        last.append(line)
