# SPDX-License-Identifier: Apache-2.0
"""The FROC score of two runs: compared when both have it, never invented."""

from __future__ import annotations

import pytest

from monai_kd.report import compare_runs, compare_seeds
from monai_kd.utils import MonaiKDError
from tests.report.run_folders import seed_runs, write_localization, write_run


@pytest.fixture
def runs(tmp_path):
    return write_run(tmp_path / "a", skill=2.0), write_run(tmp_path / "b", skill=0.8, seed=1)


def replace_text(path, old, new):
    path.write_text(path.read_text().replace(old, new))


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
    found = compare_runs(*runs)
    assert "froc_score" not in {gain.score for gain in found.gains}
    why = "The FROC score is left out: B has no candidates.csv and lesions.csv."
    assert why in found.notes


def test_the_froc_score_is_compared_only_when_it_is_asked_for(runs):
    for run in runs:
        write_localization(run)
    assert {gain.score for gain in compare_runs(*runs, metrics=["accuracy"]).gains} == {"accuracy"}
    only = compare_runs(*runs, metrics=["froc_score"]).gains
    assert [gain.score for gain in only] == ["froc_score"]


def test_a_froc_score_alone_without_candidates_is_refused(runs):
    with pytest.raises(MonaiKDError, match=r"cannot be compared, A and B have no candidates\.csv"):
        compare_runs(*runs, metrics=["froc_score"])


@pytest.mark.parametrize("table", ["candidates.csv", "lesions.csv"])
def test_a_missing_table_is_not_a_froc_score_of_0(runs, table):
    for run in runs:
        write_localization(run)
    (runs[1] / table).unlink()
    with pytest.raises(
        MonaiKDError, match=r"^B: candidates\.csv and lesions\.csv must both .* only"
    ):
        compare_runs(*runs)


@pytest.mark.parametrize(
    ("table", "content", "message"),
    [
        ("candidates.csv", b"", r"candidates\.csv must hold .* got none of the name id"),
        ("candidates.csv", b"id,finding,score,x_min", r"got none of the name y_min"),
        ("candidates.csv", b"\xff\xfe\x00", r"got something that is no text"),
        ("lesions.csv", b"\x00\xff", r"lesions\.csv must .* got something that is no text"),
        ("lesions.csv", b"finding,lesions\nviral,1\n", r"lesions\.csv .* none of the name id"),
        ("lesions.csv", b"id,finding,lesions\ni1,viral,x\n", r"same drawn lesions"),
    ],
)
def test_a_table_that_is_cut_or_broken_is_no_froc_score(runs, table, content, message):
    for run in runs:
        write_localization(run)
    (runs[1] / table).write_bytes(content)
    with pytest.raises(MonaiKDError, match=message):
        compare_runs(*runs)


def test_a_number_of_lesions_that_is_none_is_said(runs):
    for run in runs:
        write_localization(run)
        replace_text(run / "lesions.csv", "i3,p1,viral,1", "i3,p1,viral,one")
    with pytest.raises(MonaiKDError, match=r"lesions\.csv .* a number of lesions that is none"):
        compare_runs(*runs)


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
    with pytest.raises(
        MonaiKDError, match=r"candidates\.csv must hold the columns id, .* got a value"
    ):
        compare_runs(*runs)


def test_over_seeds_the_froc_score_is_said_to_be_left_out(tmp_path):
    ours = seed_runs(tmp_path / "a", skill=1.0)
    assert not any("FROC" in note for note in compare_seeds(ours, ours).notes)
    for run in ours.iterdir():
        write_localization(run)
    why = "The FROC score is left out: over seeds it is not known. Compare single runs for it."
    assert why in compare_seeds(ours, ours).notes
    assert why not in compare_seeds(ours, ours, metrics=["brier"]).notes
    with pytest.raises(MonaiKDError, match=r"FROC score cannot be compared, over seeds it is not"):
        compare_seeds(ours, ours, metrics=["froc_score"])
