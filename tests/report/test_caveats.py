# SPDX-License-Identifier: Apache-2.0
"""What has to stand beside a number: known where it is known, silent where a run is silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_kd.report.caveats import (
    drop_in_words,
    films_without_patient,
    seen_before,
    shared_note,
    shared_with_validation,
)
from monai_kd.report.run_files import RunFiles


def run(section="test", *, config=None, **summary):
    """A run that was evaluated on one section."""
    sections = {section: {"n": 60, **summary}}
    return RunFiles(Path(), {"sections": sections, "predictions_of": section}, config or {})


def test_a_run_that_does_not_say_has_no_film_without_a_patient():
    assert films_without_patient(run(config={"films_without_patient": 4})) == 4
    assert films_without_patient(run()) == 0
    assert films_without_patient(run(config={"films_without_patient": "many"})) == 0


@pytest.mark.parametrize(
    ("section", "seen"),
    [
        ("test", ""),
        ("unlabeled_1", ""),
        ("labeled", "films of the training"),
        ("validation", "films that chose the epoch"),
    ],
)
def test_films_of_training_and_validation_were_seen_before(section, seen):
    assert seen_before(run(section)) == seen
    assert seen_before(run(section, external={"auroc": 0.7})) == ""


def test_films_that_chose_the_threshold_are_those_of_validation_unless_it_is_said():
    assert shared_with_validation(run("validation")) == 60
    assert shared_with_validation(run("validation", external={"auroc": 0.7})) == 0
    assert shared_with_validation(run("test")) == 0
    assert shared_with_validation(run("test", shared_with_validation=3)) == 3
    assert shared_with_validation(RunFiles(Path())) == 0


def test_the_note_is_empty_where_nothing_is_shared():
    assert shared_note(run()) == ""
    assert shared_note(run(shared_with_validation=3)).startswith("3 of the 60 films")


def test_a_drop_and_its_limits_turn_together():
    found = {"internal_auroc": 0.8, "drop": 0.05, "drop_ci": [-0.01, 0.11]}
    assert drop_in_words(found) == "0.050 lower (-0.010 to 0.110) than on its own films (0.800)"
    found |= {"drop": -0.05, "drop_ci": [-0.11, 0.01], "verdict": "not shown"}
    assert drop_in_words(found) == (
        "0.050 higher (-0.010 to 0.110) than on its own films (0.800); a difference is not shown"
    )
    assert "0.050 higher than" in drop_in_words(found | {"drop_ci": None})
