# SPDX-License-Identifier: Apache-2.0
"""The report command: a page per run, its path printed; light until it is run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from monai_kd.cli.main import main


def test_each_run_gets_a_page_and_its_path_is_printed(tmp_path, capsys):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    assert main(["report", *map(str, folders)]) == 0
    assert capsys.readouterr().out.split() == [str(folder / "report.html") for folder in folders]
    assert all((folder / "report.html").read_text().startswith("<!DOCTYPE") for folder in folders)


def test_a_run_that_is_not_there_is_said_in_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "must be a run directory" in capsys.readouterr().err


def test_the_command_needs_a_run(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["report"])
    assert "RUN" in capsys.readouterr().err


def test_neither_command_imports_anything_heavy_for_its_options():
    code = (
        "import sys, argparse, monai_kd.cli.report as r, monai_kd.cli.demo as d\n"
        "s = argparse.ArgumentParser().add_subparsers(); r.add_parser(s); d.add_parser(s)\n"
        "sys.exit(bool({'torch', 'monai', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
