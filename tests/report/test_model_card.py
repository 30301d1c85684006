# SPDX-License-Identifier: Apache-2.0
"""The model card: the numbers of the run, and nothing that could break out of Markdown."""

from __future__ import annotations

import json

import pytest

from monai_kd.report import write_model_card
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return add_evidence(make_run(tmp_path_factory.mktemp("runs") / "run", n=60), external=True)


def test_it_has_every_heading_and_a_line_under_each(run):
    text = write_model_card(run).read_text()
    parts = text.split("\n## ")
    assert [part.splitlines()[0] for part in parts[1:]] == [
        "Model", "Intended use", "Data", "Performance", "Operating points", "Calibration",
        "Subgroups", "Limits", "Hashes",
    ]  # fmt: skip
    assert "Not known." not in text


def test_the_numbers_are_those_of_the_evaluation(run):
    summary = json.loads((run / "evaluation.json").read_text())["sections"]["test"]
    text = write_model_card(run).read_text()
    low, high = summary["macro_auroc_ci"]
    assert f"| macro AUROC | {summary['macro_auroc']:.3f} | {low:.3f} to {high:.3f} |" in text
    point = summary["operating_points"][0]
    low, high = point["sensitivity_ci"]
    assert f"{point['sensitivity']:.2f} ({low:.2f} to {high:.2f})" in text
    assert "a drop of 0." in text
    assert "must not be used to diagnose" in text


def test_an_empty_run_gives_a_card_that_says_so(tmp_path):
    text = write_model_card(tmp_path).read_text()
    assert text.count("Not known.") == 6
    assert "must not be used to diagnose" in text


def test_a_broken_part_costs_that_part_alone(run, tmp_path, caplog):
    for name in ("evaluation.json", "config.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    evaluation["sections"]["test"]["calibration"] = 3
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    text = write_model_card(tmp_path).read_text()
    assert "## Calibration\n\nNot known.\n" in text
    assert text.count("Not known.") == 1
    assert "AttributeError" in caplog.text


def test_content_cannot_become_markup(tmp_path):
    config = {"method": "<b>x</b> | y\n# z", "findings": ["a|b", "[c](d)"], "backbone": "`e`"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    text = write_model_card(tmp_path).read_text()
    assert "<b>" not in text
    assert "# Model card: &lt;b>x&lt;/b> \\| y # z\n" in text
    assert "| findings | a\\|b, \\[c\\](d) |" in text
    assert "| network | \\`e\\` |" in text
