# SPDX-License-Identifier: Apache-2.0
"""The demo: its commands fit what they call; a failing step is named, with its last words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monai_kd.cli import demo
from monai_kd.cli.demo import plan
from monai_kd.cli.main import main
from monai_kd.cli.steps import Step

BUNDLES = Path(__file__).parents[2] / "bundles"
BUNDLE = BUNDLES / "cxr_hkd_classification"
BUNDLE_OF = {
    "hkd": BUNDLE,
    "distl": BUNDLES / "cxr_distl_classification",
    "aals": BUNDLES / "cxr_aals_fracture_detection",
}


def knobs(step):
    words = step.command
    return {
        word.removeprefix("--"): words[position + 1]
        for position, word in enumerate(words)
        if word.startswith("--")
    }


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize(("method", "count"), [("hkd", 5), ("distl", 3), ("aals", 5)])
def test_every_knob_of_a_bundle_step_is_one_of_its_configuration(method, count, quick, tmp_path):
    bundle = BUNDLE_OF[method]
    steps = plan(tmp_path, bundle, quick=quick, method=method)
    steps = [step for step in steps if "monai.bundle" in step.command]
    assert len(steps) == count
    for step in steps:
        given = knobs(step)
        config = given.pop("config_file")
        files = json.loads(config.replace("'", '"')) if config.startswith("[") else [config]
        known = set().union(*(json.loads((bundle / file).read_text()) for file in files))
        assert set(given) <= known
        assert step.folder == bundle


@pytest.mark.parametrize("quick", [True, False])
def test_distl_is_drawn_with_rounds_and_compared_with_labels_alone(quick, tmp_path):
    steps = plan(tmp_path, BUNDLES / "cxr_distl_classification", quick=quick, method="distl")
    assert "task='tb'" in " ".join(steps[0].command)
    given = knobs(steps[1])
    assert given["method"] == "distl"
    assert "supervised" in json.loads(given["comparators"].replace("'", '"'))
    assert int(given["rounds"]) <= 3  # as many as the archive has
    assert not any("datalist" in step.command for step in steps)  # the archive brings one


def test_the_archive_of_distl_is_one_that_can_be_drawn(tmp_path):
    from monai_kd.data import load_datalist

    for quick in (True, False):
        words = plan(tmp_path, BUNDLE, quick=quick, method="distl")[0].command
        assert int(re.search(r"images=(\d+)", words[2])[1]) >= 40
        assert int(re.search(r"size=(\d+)", words[2])[1]) % 8 == 0
    words = plan(tmp_path, BUNDLE, quick=True, method="distl")[0].command
    subprocess.run(words, check=True)
    assert len(load_datalist(tmp_path / "phantom_tb" / "datalist.json").rounds) == 3


def test_the_archive_of_aals_is_one_that_can_be_drawn_and_has_films_of_all_groups(tmp_path):
    from monai_kd.data import film_groups, load_datalist

    for quick in (True, False):
        words = plan(tmp_path, BUNDLE, quick=quick, method="aals")[0].command
        assert "task='fracture'" in words[2]
        assert int(re.search(r"images=(\d+)", words[2])[1]) >= 40
        assert int(re.search(r"size=(\d+)", words[2])[1]) % 8 == 0
    words = plan(tmp_path, BUNDLE, quick=True, method="aals")[0].command
    subprocess.run(words, check=True)
    datalist = load_datalist(tmp_path / "phantom_fracture" / "datalist.json")
    groups = film_groups(datalist.section("labeled"), datalist.findings)
    assert {0, 1, 2} == set(groups)


@pytest.mark.parametrize("quick", [True, False])
def test_aals_and_boxes_alone_differ_in_the_method_and_share_the_first_stage(quick, tmp_path):
    steps = plan(tmp_path, BUNDLE_OF["aals"], quick=quick, method="aals")
    trainings = [knobs(step) for step in steps if "configs/train.json" in step.command]
    ours, boxes = trainings
    changed = {name for name in boxes if boxes[name] != ours.get(name)}
    assert changed == {"method", "output_dir", "first_stage_path"}
    assert (ours["method"], boxes["method"]) == ("aals", "supervised")
    assert "first_stage_path" not in ours
    assert boxes["first_stage_path"] == f"{ours['output_dir']}/first_stage/model.pt"
    assert ours["output_dir"] != boxes["output_dir"]


def test_aals_ends_with_both_evaluated_and_the_page_beside_boxes_alone(tmp_path):
    steps = plan(tmp_path, BUNDLE_OF["aals"], quick=True, method="aals")
    aals, boxes = str(tmp_path / "aals"), str(tmp_path / "boxes_alone")
    judged = [step for step in steps if "evaluate.json" in str(step.command)]
    evaluated = {knobs(step)["output_dir"]: knobs(step)["method"] for step in judged}
    assert evaluated == {aals: "aals", boxes: "supervised"}
    assert steps[-1].command[-4:] == ("report", aals, "--baseline", boxes)
    compared = next(step for step in steps if "compare" in step.command)
    assert compared.aloud
    assert compared.command[-2:] == (aals, boxes)


def test_baseline_and_student_differ_in_the_method_alone(tmp_path):
    steps = {
        knobs(s)["method"]: knobs(s) for s in plan(tmp_path, BUNDLE, quick=False) if "max" in str(s)
    }
    baseline, student = steps["baseline"], steps["hkd"]
    changed = {name for name in baseline if baseline[name] != student[name]}
    assert changed == {"method", "output_dir"}


def test_the_datalist_step_has_options_that_the_command_knows(tmp_path):
    import argparse

    from monai_kd.cli.datalist import add_parser

    words = next(
        step.command for step in plan(tmp_path, BUNDLE, quick=True) if "datalist" in step.command
    )
    parser = add_parser(argparse.ArgumentParser().add_subparsers())
    args = parser.parse_args(words[words.index("datalist") + 1 :])
    assert args.folder == str(tmp_path / "phantom")


def steps(monkeypatch, *codes):
    made = [
        Step(
            f"step {number}",
            (sys.executable, "-c", f"print('said {number}'); raise SystemExit({code})"),
        )
        for number, code in enumerate(codes, 1)
    ]
    monkeypatch.setattr(demo, "plan", lambda *_, **__: made)


def test_each_command_is_shown_and_the_last_line_is_the_page(monkeypatch, tmp_path, capsys):
    steps(monkeypatch, 0, 0)
    assert main(["demo", "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("$ python -c") for line in lines) == 2
    assert lines[-1] == str(tmp_path / "out" / "hkd" / "report.html")
    assert "said 2" in (tmp_path / "out" / "demo.log").read_text()


@pytest.mark.parametrize("method", ["distl", "aals"])
def test_another_method_has_its_own_page(method, monkeypatch, tmp_path, capsys):
    steps(monkeypatch, 0)
    assert main(["demo", "--method", method, "--output", str(tmp_path / "out")]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == str(tmp_path / "out" / method / "report.html")


def test_a_failing_step_is_named_with_its_last_words_and_stops_the_demo(
    monkeypatch, tmp_path, capsys
):
    steps(monkeypatch, 0, 7, 0)
    assert main(["demo", "--output", str(tmp_path / "out")]) == 7
    out = capsys.readouterr().out
    assert "said 2\ndemo: step failed: step 2 (exit code 7)" in out
    assert "step 3" not in out
    assert "said 1" not in out.splitlines()


def test_without_the_bundles_the_demo_says_where_to_get_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "repository", lambda: tmp_path)
    assert main(["demo", "--output", str(tmp_path / "out")]) == 2
    assert "Clone the repository" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
