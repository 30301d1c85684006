# SPDX-License-Identifier: Apache-2.0
"""The model card: the numbers of the run, and nothing that could break out of Markdown."""

from __future__ import annotations

import json
import shutil

import pytest

from monai_kd.report import write_model_card
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = add_evidence(make_run(tmp_path_factory.mktemp("runs") / "run", n=60), external=True)
    shutil.rmtree(run / "pictures")  # the card shows none, and reading them takes its time
    return run


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
    assert " lower (0.050 to 0.190) than on its own films" in text
    assert "must not be used to diagnose" in text


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def change(folder, section="test", config=None, **values):
    """Change settings and the summary, its section renamed."""
    path = folder / "evaluation.json"
    evaluation = json.loads(path.read_text())
    summary = evaluation["sections"].pop("test") | values
    evaluation |= {"sections": {section: summary}, "predictions_of": section}
    path.write_text(json.dumps(evaluation))
    settings = json.loads((folder / "config.json").read_text()) | (config or {})
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test_patients_are_not_counted_where_they_are_not_known(run, copied):
    assert "Section test: 60 images, 30 patients." in write_model_card(run).read_text()
    text = write_model_card(change(copied, config={"films_without_patient": 5})).read_text()
    assert "Section test: 60 images, patients not known." in text
    assert "| labeled | 120 | not known | 40 |" in text
    assert "30 patients" not in text


def test_unlabeled_films_have_no_positives_rather_than_none(copied):
    data = {"unlabeled_1": {"images": 9, "patients": 9, "positives": {"normal": None}}}
    text = write_model_card(change(copied, config={"data": data})).read_text()
    assert "| unlabeled\\_1 | 9 | 9 | – | – |" in text  # noqa: RUF001


def test_films_that_chose_the_thresholds_are_named_beside_what_they_chose(run, copied):
    said = "60 of the 60 films judged here also chose thresholds and temperature"
    assert said not in write_model_card(run).read_text()
    text = write_model_card(change(copied, "validation", external=None)).read_text()
    points, calibration = text.split("## Operating points")[1].split("## Calibration")
    assert said in points
    assert said in calibration
    assert "These are films that chose the epoch" in text


def test_a_gain_at_another_site_is_not_called_a_drop(copied):
    external = {
        "internal_auroc": 0.8, "auroc": 0.853, "drop": -0.053, "drop_ci": [-0.09, 0.01],
        "internal_section": "test", "verdict": "not shown",
    }  # fmt: skip
    text = write_model_card(change(copied, external=external)).read_text()
    told = "is 0.853, 0.053 higher (-0.010 to 0.090) than on its own section test (0.800)"
    assert f"{told}; a difference is not shown." in text


def test_a_calibration_error_stands_with_what_noise_does_to_it(run):
    assert "its interval may end at the estimate" in write_model_card(run).read_text()


def test_groups_of_few_films_stay_out_of_the_card(copied):
    group = {"by": "site", "macro_auroc": 0.7, "accuracy": 0.6}
    rows = [{**group, "group": "harbor", "n": 30}, {**group, "group": "doctor k", "n": 9}]
    text = write_model_card(change(copied, subgroups=rows)).read_text()
    assert "harbor" in text
    assert "doctor k" not in text


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
