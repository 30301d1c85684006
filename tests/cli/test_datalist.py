# SPDX-License-Identifier: Apache-2.0
"""What is promised of ``python -m monai_kd datalist``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_kd.cli.datalist import add_parser, run
from monai_kd.data import load_datalist, refuse_leaks
from monai_kd.utils import MonaiKDError

FRACATLAS = Path(__file__).parents[2] / ".." / "shared" / "data" / "fracture_fracatlas"


def command(*words):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return run(parser.parse_args(["datalist", *map(str, words)]))


@pytest.fixture
def archive(tmp_path):
    lines = ["image,patient,opacity"]
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,MRN{number // 2},{number // 2 % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def words(archive, *more):
    labels = ("--labels", archive / "labels.csv", "--label-columns", "opacity")
    return (archive, *labels, "--test", "0.25", "--validation", "0.25", *more)


def test_writes_a_datalist_that_loads_and_does_not_leak(archive, capsys):
    assert command(*words(archive, "--labeled", "0.5", "--rounds", "2")) == 0
    datalist = load_datalist(archive / "datalist.json")
    refuse_leaks(datalist)
    assert sum(len(items) for items in datalist.sections.values()) == 24
    out = capsys.readouterr().out
    assert "MRN" not in out
    assert f"written: {archive / 'datalist.json'}" in out


def test_a_dry_run_prints_the_counts_and_writes_nothing(archive, capsys):
    before = sorted(archive.iterdir())
    command(*words(archive, "--rounds", "0", "--dry-run", "--salt", archive / "salt"))
    assert sorted(archive.iterdir()) == before
    lines = capsys.readouterr().out.splitlines()
    table = {line.split()[0]: line.split()[1:] for line in lines}
    assert " ".join(lines[1].split()) == ("section images patients opacity drawn empty nobody drew")
    assert table["labeled"] == ["12", "6", "6/6/0", "0", "0", "12"]
    assert table["test"][1] == "3"
    assert lines[-1] == "dry run: nothing written"


def test_a_datalist_that_is_there_is_not_replaced_unasked(archive):
    command(*words(archive, "--rounds", "0"))
    before = (archive / "datalist.json").read_text()
    with pytest.raises(MonaiKDError, match="--output must not exist yet, got a datalist"):
        command(*words(archive, "--rounds", "0"))
    assert (archive / "datalist.json").read_text() == before
    command(*words(archive, "--rounds", "0", "--overwrite"))
    assert (archive / "datalist.json").read_text() != before  # new salt, new ids


@pytest.mark.parametrize("content", ['{"training": []}', "[1]", "no JSON"])
def test_what_another_program_wrote_is_never_replaced(archive, content):
    (archive / "datalist.json").write_text(content)
    with pytest.raises(MonaiKDError, match="got a file that this command has not written"):
        command(*words(archive, "--rounds", "0", "--overwrite"))
    assert (archive / "datalist.json").read_text() == content


def test_the_same_salt_file_gives_the_same_ids(archive):
    for name in ("one", "two"):
        more = ("--rounds", "0", "--salt", archive / "salt", "--output", archive / f"{name}.json")
        command(*words(archive, *more))
    assert (archive / "one.json").read_text() == (archive / "two.json").read_text()


def test_wrong_settings_are_said_as_errors_a_user_can_mend(archive):
    with pytest.raises(MonaiKDError, match=r"`labeled` must be in \(0, 1\], got 2.0"):
        command(*words(archive, "--labeled", "2"))
    (archive / "file").touch()
    with pytest.raises(MonaiKDError, match="--output writable"):
        command(*words(archive, "--rounds", "0", "--output", archive / "file" / "x.json"))


def test_help_needs_no_data_room():
    code = (
        "import sys, argparse, monai_kd.cli.datalist as d\n"
        "d.add_parser(argparse.ArgumentParser().add_subparsers()).format_help()\n"
        "assert not {'numpy', 'torch', 'monai', 'monai_kd.data'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not FRACATLAS.exists(), reason="the FracAtlas subset is not at hand")
def test_the_csv_of_fracatlas_becomes_a_datalist(tmp_path):
    table = FRACATLAS / "datalist.csv"
    options = ("--labels", table, "--regions", table, "--output", tmp_path / "datalist.json")
    command(FRACATLAS, *options, "--labeled", "0.1", "--rounds", "3")
    datalist = load_datalist(tmp_path / "datalist.json")
    refuse_leaks(datalist)
    assert datalist.findings == ["fractured", "non_fractured"]
    assert sum(len(items) for items in datalist.sections.values()) == 2092
    # 691 of 2092 images are fractured, and all of them are drawn on
    test = datalist.sections["test"]
    assert sum(item["label"][0] for item in test) == pytest.approx(0.2 * 691, abs=1)
    assert all(bool(item["regions"]) == bool(item["label"][0]) for item in test)
