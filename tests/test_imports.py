# SPDX-License-Identifier: Apache-2.0
"""What may be imported where, so that the command line starts at once."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import monai_kd

ROOMS = sorted(
    f"monai_kd.{path.parent.name}"
    for path in Path(monai_kd.__file__).parent.glob("*/__init__.py")
    if path.parent.name != "label"  # its extra is optional
)


def imported_by(code):
    """Return the top-level packages that a fresh interpreter has after running code."""
    script = f"import sys\n{code}\nprint(*sorted({{n.partition('.')[0] for n in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("monai_kd", {"numpy", "torch", "monai"}),
        ("monai_kd.cli.main", {"numpy", "torch", "monai"}),
        ("monai_kd.utils", {"numpy", "torch", "monai"}),
        ("monai_kd.data", {"torch", "scipy", "monai", "ignite", "matplotlib"}),
    ],
)
def test_a_light_room_stays_light(module, heavy):
    assert not imported_by(f"import {module}") & heavy


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_what_it_promises(room):
    package = importlib.import_module(room)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
