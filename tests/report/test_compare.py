# SPDX-License-Identifier: Apache-2.0
"""Run directories compared: what is read, what is refused, what may not leave them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.report import compare_runs, compare_seeds
from monai_kd.utils import MonaiKDError
from tests.report.run_folders import write_csv, write_localization, write_run


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


def test_the_froc_score_is_compared_when_both_runs_have_candidates(runs):
    write_localization(runs[0], found=1.0)
    write_localization(runs[1], found=0.2, seed=1)
    gain = compare_runs(*runs).gains[-1]
    assert (gain.score, gain.by, gain.group) == ("froc_score", "finding", "viral")
    assert gain.films == 40
    assert gain.ours == 1.0  # every lesion scores above every false positive
    assert gain.theirs < 0.5
    assert gain.difference.estimate == pytest.approx(gain.ours - gain.theirs)
    assert gain.verdict == "gain shown"


def test_one_run_without_candidates_is_compared_without_the_froc_score(runs):
    write_localization(runs[0])
    assert "froc_score" not in {gain.score for gain in compare_runs(*runs).gains}


def test_other_lesions_are_refused(runs):
    for run in runs:
        write_localization(run)
    replace_text(runs[1] / "lesions.csv", "i3,p1,viral,1", "i3,p1,viral,2")
    with pytest.raises(MonaiKDError, match=r"same drawn lesions, got 40 films in common, 1 of"):
        compare_runs(*runs)


def test_broken_candidates_are_refused(runs):
    for run in runs:
        write_localization(run)
    replace_text(runs[1] / "candidates.csv", "repeat", "again")
    with pytest.raises(MonaiKDError, match=r"candidates.csv must hold id, score, box and lesion"):
        compare_runs(*runs)


def test_a_run_that_is_not_evaluated_is_named(runs, tmp_path):
    with pytest.raises(MonaiKDError, match=r"^B: the run must be evaluated"):
        compare_runs(runs[0], tmp_path / "none")


def test_a_folder_of_seeds_is_told_from_a_run(runs, tmp_path):
    seed_runs(tmp_path / "many", skill=1.0)
    with pytest.raises(MonaiKDError, match=r"^B: .* It holds runs of several seeds: add `--seeds`"):
        compare_runs(runs[0], tmp_path / "many")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: [], r"^A: read_predictions: `path` must have `label_` and `prob_` of each"),
        (lambda rows: rows[:1], r"^A: read_predictions: `path` must hold at least one film"),
        (
            lambda rows: [*rows[:5], f"{rows[5].rpartition(',')[0]},nan", *rows[6:]],
            r"^A: read_predictions: .* probabilities in \[0, 1\], got 1 films with others or NaN",
        ),
        (
            lambda rows: [rows[0], *(f"other {row}" for row in rows[1:])],
            r"must have predicted the same films, got 0 in common of 60 and 60",
        ),
    ],
    ids=["empty", "no film", "NaN", "other ids"],
)
def test_a_table_that_cannot_be_used_is_said_in_one_sentence(runs, spoil, message):
    path = runs[0] / "predictions.csv"
    path.write_text("\n".join(spoil(path.read_text().splitlines())) + "\n")
    with pytest.raises(MonaiKDError, match=message):
        compare_runs(*runs)


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


def test_without_evaluation_json_the_activation_is_read_off_the_probabilities(runs):
    expected = compare_runs(*runs).gains
    for run in runs:
        (run / "evaluation.json").write_text("{half")
        (run / "config.json").unlink()
    assert compare_runs(*runs).gains == expected


def seed_runs(folder, *, skill, seeds=(0, 1, 2, 10), first=0):
    for seed in seeds:
        write_run(folder / f"seed_{seed}", skill=skill, seed=first + seed)
    return folder


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


def test_a_seed_that_is_not_evaluated_is_named(tmp_path):
    ours = seed_runs(tmp_path / "a", skill=1.0)
    theirs = seed_runs(tmp_path / "b", skill=1.0)
    (theirs / "seed_10" / "predictions.csv").unlink()
    with pytest.raises(MonaiKDError, match=r"^B, seed 10: the run must be evaluated"):
        compare_seeds(ours, theirs)
