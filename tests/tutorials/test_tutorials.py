# SPDX-License-Identifier: Apache-2.0
"""The tutorials run, in an empty folder, and each notebook is what its script says."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "tutorials").glob("*.py"))
LARGEST_NOTEBOOK = 500_000  # bytes, as for every file of the repository

scripts = pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])


def smoke_environment(**changes):
    """Return the environment of a smoke run: short, no window, one thread."""
    return {
        **os.environ,
        "MONAI_KD_SMOKE": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    } | changes


def cells(notebook):
    """Return kind and text of every cell."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


def test_there_is_a_tutorial():
    assert SCRIPTS


@scripts
def test_script_uses_public_names_alone(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").split(".")[0] == "monai_kd"]
    assert ours
    for node in ours:
        room = importlib.import_module(node.module)
        assert hasattr(room, "__path__"), f"{node.module} is a module of a room, not a room"
        assert {name.name for name in node.names} <= set(room.__all__), node.module


def test_a_tutorial_of_a_patented_method_says_so():
    script = ROOT / "tutorials" / "aals_fracture.py"
    words = " ".join(script.read_text(encoding="utf-8").replace("\n# ", " ").split())
    assert "US patent 11,823,381 B2" in words
    assert "the licence of this software gives no right to that patent" in words
    assert "Research only, not for diagnosis." in words


@scripts
def test_notebook_says_what_the_script_says(script):
    jupytext = pytest.importorskip("jupytext", reason="needs the extra `tutorials`")
    expected = cells(jupytext.read(script))
    notebook = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert cells(notebook) == expected, (
        f"write it anew: python .ci/write_notebook.py tutorials/{script.name}"
    )


@scripts
def test_notebook_is_small_and_tells_nothing_of_the_machine_it_ran_on(script):
    text = script.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST_NOTEBOOK
    words = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not re.search(r"/(?:home|tmp|root|work|Users|var|usr)/|[A-Z]:\\\\|site-packages", words)
    assert "Traceback" not in words
    assert '"execution": {' not in words, "timings of the cells"


@scripts
def test_notebook_shows_every_picture(script):
    notebook = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    if not any(cell.get("outputs") for cell in notebook["cells"]):
        pytest.skip("this notebook is kept without outputs")
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and re.search(
            r"^(?:show\(|plt\.show)", "".join(cell["source"]), re.M
        ):
            assert any("image/png" in output.get("data", {}) for output in cell["outputs"])


@pytest.mark.slow
@scripts
def test_script_runs_in_an_empty_folder_and_leaves_it_empty(script, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", str(script)],
        cwd=tmp_path,
        env=smoke_environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@scripts
def test_notebook_executes(script, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs the extra `tutorials`")
    pytest.importorskip("ipykernel", reason="needs the extra `tutorials`")
    nbformat = pytest.importorskip("nbformat", reason="needs the extra `tutorials`")
    for name, value in smoke_environment(
        MPLBACKEND="module://matplotlib_inline.backend_inline"
    ).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert not list(tmp_path.iterdir())
