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
        (folder / "config.json").write_text("{}")
    assert main(["report", *map(str, folders)]) == 0
    assert capsys.readouterr().out.split() == [str(folder / "report.html") for folder in folders]
    assert all((folder / "report.html").read_text().startswith("<!DOCTYPE") for folder in folders)


def test_a_run_that_is_not_there_is_said_in_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "must be a run directory" in capsys.readouterr().err


def test_a_bad_run_is_named_by_its_place_and_the_others_get_their_page(tmp_path, capsys):
    good = [tmp_path / "a", tmp_path / "b"]
    for folder in good:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    bad = tmp_path / "Zzyzx^Planted"
    assert main(["report", str(good[0]), str(bad), str(good[1])]) == 2
    said = capsys.readouterr()
    assert said.out.split() == [str(folder / "report.html") for folder in good]
    assert "RUN 2 of 3: build_page: `run_dir` must be a run directory" in said.err
    assert "Planted" not in said.err


def test_a_failure_that_nobody_foresaw_costs_one_page_and_is_another_code(
    tmp_path, capsys, monkeypatch
):
    import monai_kd.report as report

    monkeypatch.setattr(
        report, "build_page", lambda folder, **_: folder if folder == "b" else 1 / 0
    )
    assert main(["report", "a", "b"]) == 1
    said = capsys.readouterr()
    assert said.out.split() == ["b"]
    assert "RUN 1 of 2: " in said.err


@pytest.mark.parametrize(
    ("inside", "said"),
    [("phantom", "without a run in it"), ("seed_0", "such as its seed_0")],
)
def test_a_folder_that_is_no_run_is_refused_and_stays_as_it_was(tmp_path, capsys, inside, said):
    (tmp_path / inside).mkdir()
    (tmp_path / inside / "config.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [inside]


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
