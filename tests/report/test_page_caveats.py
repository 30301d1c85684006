# SPDX-License-Identifier: Apache-2.0
"""What takes from the worth of a page's numbers stands beside them; bad parts cost a section."""

from __future__ import annotations

import json
import re

import pytest

from monai_kd.report import build_page
from monai_kd.report.sections import SECTIONS
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run
from tests.report.read_page import changed, changed_summary, quick_plots, words

NAME = "Zzyzx^Planted"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_plots(monkeypatch)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("films", "the baseline was evaluated on other films"),
        ("nothing", "the baseline has not been evaluated"),
        ("section", "the baseline was not evaluated on the section test"),
    ],
)
def test_a_baseline_that_cannot_be_compared_is_refused_with_the_reason(
    tmp_path, harm, reason, caplog
):
    run, other = make_run(tmp_path / "run", n=30), tmp_path / NAME
    make_run(other, n=60 if harm == "films" else 30)
    if harm == "nothing":
        (other / "evaluation.json").unlink()
    if harm == "section":
        changed(other, sections={"labeled": {"n": 30}})
    text = words(build_page(run, baseline_dir=other).read_text())
    assert f"No baseline is shown beside this run: {reason}." in text
    assert "Paired difference" not in text
    assert "Baseline on the same section" not in text
    assert reason in caplog.text
    assert NAME not in caplog.text


def test_what_a_reader_has_to_know_of_the_films_stands_on_the_page(tmp_path):
    run = add_evidence(make_run(tmp_path / "run", n=30))
    changed(run, "config.json", films_without_patient=5)
    changed_summary(run, shared_with_validation=12, unreadable=3)
    text = words(build_page(run).read_text())
    assert "patients not known" in text
    assert "The patient of 5 films of the datalist is not known" in text
    assert "counted together where the patient is known" in text
    assert "images 30 3 more could not be read" in text
    for part in ("Thresholds were chosen on .{0,150}", "The temperature, fitted on .{0,250}"):
        assert re.search(part + r"12 of the 30 films judged here", text)
    assert "and then left alone" not in text
    assert "films in groups of fewer than 10 patients or without the value are not shown" in text


@pytest.mark.parametrize(
    ("section", "badge"),
    [
        ("labeled", "Judged on films of the training"),
        ("validation", "Judged on films that chose the epoch"),
    ],
)
def test_films_of_the_training_are_named_at_the_top(tmp_path, section, badge):
    run = make_run(tmp_path / "run", n=30)
    summary = json.loads((run / "evaluation.json").read_text())["sections"]["test"]
    changed(run, sections={section: summary})
    text = words(build_page(run).read_text())
    assert text.index(badge) < text.index("Macro AUROC")


def test_decision_regions_tell_whose_films_each_row_is_of(tmp_path):
    run, other = make_run(tmp_path / "run", n=30), make_run(tmp_path / "base", n=30)
    for folder, n, empty, control in ((run, 54, 7, 8), (other, 60, 1, 12)):
        looks = {
            "mass_inside": 0.3, "n": n, "empty": empty,
            "control": {"mass_inside": 0.1, "n": control},
            "beyond_control": {"mass_inside": 0.2, "mass_inside_ci": [-0.1, 0.3]},
        }  # fmt: skip
        changed_summary(folder, decision_regions=looks)
    text = words(build_page(run, baseline_dir=other).read_text())
    assert re.search(r"hkd 30\.0% – 54 7 without a map", text)  # noqa: RUF001
    assert re.search(r"baseline 30\.0% – 60 1 without a map", text)  # noqa: RUF001
    assert re.search(r"shuffled weights 10\.0% – 8 ", text)  # noqa: RUF001
    assert "on the 8 films on which both have a map" in text
    assert "may therefore be of different films" in text


def test_curves_of_a_changed_table_are_left_out(tmp_path):
    run = make_run(tmp_path / "run", n=30)
    changed(run, files={"predictions.csv": "ab" * 32})
    text = words(build_page(run).read_text())
    assert "ROC curves need predictions.csv, which is not as the evaluation has written it" in text
    assert "Not looked at: predictions.csv. Each is not as the evaluation has written it" in text
    assert "images 30" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"versions": "1.0"}), ("config.json", {"data": {"test": {}}}),
        ("config.json", {"data": {"test": [1]}}), ("config.json", {"spatial_size": {"a": [1]}}),
        ("config.json", {"films_without_patient": "many"}), ("evaluation.json", {"files": [1]}),
        ("evaluation.json", {"settings": 1}), ("evaluation.json", {"sections": [1]}),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_costs_its_section_alone(tmp_path, name, content):
    run = changed(make_run(tmp_path / "run", n=30), name, **content)
    text = words(build_page(run).read_text())
    assert "must not be used to diagnose" in text
    assert ("images 30" in text) != ("sections" in content)


@pytest.mark.parametrize("part", ["operating_points", "subgroups", "localization"])
def test_a_part_that_cannot_be_written_costs_its_section_alone(tmp_path, part, monkeypatch, caplog):
    run = make_run(tmp_path / NAME, n=30)
    monkeypatch.setitem(SECTIONS, part, lambda *_: {"rows": 3, "groups": 3})
    text = words(build_page(run).read_text())
    assert "Not available: the files of the run do not hold what belongs here" in text
    assert "images 30" in text
    assert "must not be used to diagnose" in text
    assert "The page goes without `" in caplog.text
    assert NAME not in text + caplog.text
