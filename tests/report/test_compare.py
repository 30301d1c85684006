# SPDX-License-Identifier: Apache-2.0
"""Run directories compared: what is read, what is refused, what may not leave them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.report import compare_runs, compare_seeds
from monai_kd.utils import MonaiKDError
from tests.report.run_folders import seed_runs, write_csv, write_localization, write_run


@pytest.fixture
def runs(tmp_path):
    return write_run(tmp_path / "a", skill=2.0), write_run(tmp_path / "b", skill=0.8, seed=1)


def replace_text(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_a_run_compared_with_itself_shows_nothing(runs):
    write_localization(runs[0])
    found = compare_runs(runs[0], runs[0])
    assert {gain.verdict for gain in found.gains} == {"not shown"}
    assert "froc_score" in {gain.score for gain in found.gains}


def test_section_settings_films_and_patients_are_said(runs):
    write_run(runs[1], skill=0.8, seed=1, method="baseline", learning_rate=0.1, data={"n": 3})
    write_run(runs[0], method="hkd", learning_rate=0.1, data={"n": 4})
    found = compare_runs(*runs)
    assert (found.section, found.films, found.patients) == ("test", 60, 30)
    assert found.settings == {"method": ("hkd", "baseline")}


def test_all_of_it_is_json_without_ids_or_paths(runs, tmp_path):
    text = json.dumps(compare_runs(*runs).as_dict(), allow_nan=False)
    assert str(tmp_path) not in text
    assert "i17" not in text
    assert "p7" not in text
    gain = json.loads(text)["gains"][0]
    assert gain["ci"][0] < gain["difference"] < gain["ci"][1]
    assert gain["difference"] == pytest.approx(gain["ours"] - gain["theirs"])


@pytest.mark.parametrize("compare", [compare_runs, compare_seeds])
def test_a_score_that_is_named_twice_is_refused(runs, compare):
    with pytest.raises(ValueError, match=r"each score once, got accuracy twice"):
        compare(*runs, metrics=["accuracy", "brier", "accuracy"])


def test_patients_that_are_not_known_are_not_counted(runs):
    for run in runs:
        write_run(run, films_without_patient=4)
    found = compare_runs(*runs)
    assert found.patients is None
    assert any("such a film counts as a patient of its own" in note for note in found.notes)
    assert "films_without_patient" not in found.settings


def test_a_learning_rate_that_changed_on_the_way_is_said(runs):
    write_run(runs[1], resumed=[{"after_epoch": 3, "learning_rate": 0.1}, {"max_epochs": 4}])
    notes = compare_runs(*runs).notes
    assert "B was resumed with another learning_rate than it began with." in notes
    assert not any(note.startswith("A was resumed") for note in notes)


def test_films_of_small_groups_are_counted(runs):
    for run in runs:
        text = (run / "predictions.csv").read_text()
        (run / "predictions.csv").write_text(text.replace(",F,", ",O,", 3))
    notes = compare_runs(*runs).notes
    assert "By sex, 3 films in groups of fewer than 10 patients are not shown." in notes


def test_one_class_only_is_refused(runs):
    for run in runs:
        rows = [[f"i{n}", f"p{n}", "F", 1, 0, 0, 0.5, 0.3, 0.2] for n in range(20)]
        header = (run / "predictions.csv").read_text().splitlines()[0].split(",")
        write_csv(run / "predictions.csv", header, rows)
    with pytest.raises(MonaiKDError, match=r"present on some films and absent on others"):
        compare_runs(*runs)


def test_another_section_is_refused(runs):
    write_run(runs[1], section="validation")
    with pytest.raises(MonaiKDError, match=r"the same `section`, got test and validation"):
        compare_runs(*runs)


def test_seeds_are_paired_by_number_and_their_gains_are_averaged(tmp_path):
    ours = seed_runs(tmp_path / "a", skill=2.0)
    theirs = seed_runs(tmp_path / "b", skill=1.0, first=50)
    found = compare_seeds(ours, theirs, metrics=["macro_auroc"])
    each = [
        compare_runs(ours / f"seed_{seed}", theirs / f"seed_{seed}", metrics=["macro_auroc"])
        for seed in (0, 1, 2, 10)
    ]
    gains = [one.gains[0].difference.estimate for one in each]
    gain = found.gains[0]
    assert found.seeds == [0, 1, 2, 10]
    assert gain.difference.estimate == pytest.approx(np.mean(gains))
    assert gain.sd == pytest.approx(np.std(gains, ddof=1))
    step = 3.182446305284263 * gain.sd / 2  # Student's t, 3 degrees of freedom
    assert gain.over_seeds.low == pytest.approx(np.mean(gains) - step)
    assert gain.verdict == "gain shown"
    assert found.as_dict()["gains"][0]["over_seeds"]["ci"][0] == gain.over_seeds.low


def test_a_seed_that_one_folder_lacks_is_left_out_and_said(tmp_path):
    ours = seed_runs(tmp_path / "a", skill=1.0)
    theirs = seed_runs(tmp_path / "b", skill=1.0, seeds=(1, 2))
    found = compare_seeds(ours, theirs)
    assert found.seeds == [1, 2]
    assert "2 runs whose seed the other folder does not have are left out." in found.notes


def test_the_same_seeds_twice_show_nothing(tmp_path):
    ours = seed_runs(tmp_path / "a", skill=1.0)
    assert {gain.verdict for gain in compare_seeds(ours, ours).gains} == {"not shown"}


def test_folders_without_common_seeds_are_refused(runs):
    with pytest.raises(MonaiKDError, match=r"got 0 in common of 0 and 0"):
        compare_seeds(*runs)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"rate": 0.2}, r"^B: all seeds must be trained with the same settings, got different `ra"),
        ({"resumed": [1]}, r"got different `resumed`"),
        ({"seed": 0}, r"^B: each run must be trained with a seed of its own, got 1 whose"),
        ({"section": "validation"}, r"^B: all seeds must be evaluated on the same section, got 2"),
    ],
)
def test_seeds_of_different_methods_are_refused(tmp_path, other, message):
    ours = seed_runs(tmp_path / "a", skill=1.0)
    theirs = seed_runs(tmp_path / "b", skill=1.0)
    write_run(theirs / "seed_2", seed=2, precision="float16", versions={})
    compare_seeds(ours, theirs)
    write_run(theirs / "seed_2", **({"seed": 2} | other))
    with pytest.raises(MonaiKDError, match=message):
        compare_seeds(ours, theirs)
