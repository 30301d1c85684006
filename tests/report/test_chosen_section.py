# SPDX-License-Identifier: Apache-2.0
"""The page leads with a section that has films, and its tables are of the same films."""

from __future__ import annotations

import hashlib
import json

import pytest

from monai_kd.report import read_run
from monai_kd.report.chosen_section import main_section, predictions_of
from monai_kd.report.run_files import RunFiles
from tests.report.fake_run import make_run

TEST, LABELED = {"n": 183}, {"n": 40}


@pytest.mark.parametrize(
    ("evaluation", "name", "aside"),
    [
        ({"sections": {"validation": {"n": 1}, "test": {}}}, "validation", None),
        ({"sections": {"labeled": LABELED, "test": TEST}}, "test", None),
        ({"sections": {"labeled": LABELED, "test": TEST}, "predictions_of": "labeled"},
         "labeled", None),
        ({"sections": {"labeled": {"n": 0}, "test": TEST}, "predictions_of": "labeled"},
         "test", "labeled"),
        ({"sections": {"labeled": {}, "test": TEST}, "predictions_of": "labeled"},
         "test", "labeled"),
    ],
)  # fmt: skip
def test_the_last_section_with_films_leads(evaluation, name, aside):
    found = main_section(evaluation)
    assert found == (name, evaluation["sections"][name])
    assert predictions_of(evaluation) == aside


@pytest.mark.parametrize("sections", [[1], {"test": 3}, {"test": {"n": 0}}, {}, None, "test"])
def test_nothing_leads_where_nothing_was_judged(sections):
    assert main_section({"sections": sections, "predictions_of": "test"}) is None
    assert predictions_of({"sections": sections, "predictions_of": "test"}) is None


def change(run, **changes):
    path = run / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return read_run(run)


def test_tables_and_pictures_of_another_section_stay_aside(tmp_path):
    run = make_run(tmp_path / "run", n=30)
    assert read_run(run).pictures
    found = change(run, predictions_of="labeled")
    assert found.predictions is None
    assert not found.pictures
    assert "section labeled" in found.foreign["predictions.csv"]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_table_that_was_changed_after_the_evaluation_stays_aside(tmp_path):
    run = make_run(tmp_path / "run", n=30)
    path = run / "predictions.csv"
    assert len(read_run(run).predictions) == 30  # older evaluations do not say
    assert len(change(run, files={path.name: sha256(path)}).predictions) == 30
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    found = read_run(run)
    assert found.predictions is None
    assert list(found.foreign) == ["predictions.csv"]


def test_a_table_that_the_evaluation_has_not_written_is_not_its_own(tmp_path):
    run = make_run(tmp_path / "run", n=30)
    (run / "lesions.csv").write_text("id,finding\n")
    found = change(run, files={"predictions.csv": sha256(run / "predictions.csv")})
    assert list(found.foreign) == ["lesions.csv"]
    assert isinstance(found, RunFiles)
