# SPDX-License-Identifier: Apache-2.0
"""An evaluated run: what cannot be read is one sentence, what does not belong is refused."""

from __future__ import annotations

import json

import pytest

from monai_kd.report import compare_runs, compare_seeds
from monai_kd.utils import MonaiKDError, sha256_of_file
from tests.report.run_folders import seed_runs, write_localization, write_run


@pytest.fixture
def runs(tmp_path):
    return write_run(tmp_path / "a", skill=2.0), write_run(tmp_path / "b", skill=0.8, seed=1)


def remember_files(run):
    path = run / "evaluation.json"
    tables = ["predictions.csv", "candidates.csv", "lesions.csv"]
    files = {name: sha256_of_file(run / name) for name in tables if (run / name).exists()}
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files}))


@pytest.mark.parametrize("table", ["predictions.csv", "candidates.csv", "lesions.csv"])
def test_a_table_of_another_evaluation_is_refused(runs, table):
    for run in runs:
        write_localization(run)
        remember_files(run)
    assert compare_runs(*runs).films == 60
    whole = (runs[0] / table).read_bytes()
    (runs[0] / table).write_bytes(whole[: whole.rstrip().rindex(b"\n") + 1])  # a row less
    with pytest.raises(MonaiKDError, match=rf"^A: {table} must be the one .* got another"):
        compare_runs(*runs)


def test_a_table_that_the_evaluation_wrote_must_be_there(runs):
    for run in runs:
        write_localization(run)
        remember_files(run)
    (runs[1] / "lesions.csv").unlink()
    (runs[1] / "candidates.csv").unlink()
    with pytest.raises(MonaiKDError, match=r"^B: candidates\.csv must be the one .* got none"):
        compare_runs(*runs)


@pytest.mark.parametrize(
    "content",
    [
        b'{"sections": [1]}',
        b"[1]",
        b"{half",
        b"\xff",
        b'{"sections": {"test": 3}}',
        b'{"files": 1}',
    ],
)
def test_an_evaluation_that_is_none_is_said_in_one_sentence(runs, content):
    (runs[0] / "evaluation.json").write_bytes(content)
    with pytest.raises(MonaiKDError, match=r"^A: evaluation\.json must hold the summary of each"):
        compare_runs(*runs)


def test_a_folder_of_seeds_that_is_not_there_is_said(runs):
    with pytest.raises(MonaiKDError, match=r"^B: the run must be a folder, got a path where none"):
        compare_seeds(runs[0], runs[1] / "none")


def test_a_path_where_nothing_is_is_said(runs):
    with pytest.raises(MonaiKDError, match=r"^B: the run must be a folder, got a path where none"):
        compare_runs(runs[0], runs[1] / "none")
    with pytest.raises(MonaiKDError, match=r"^B: the run must be a folder, got a file"):
        compare_runs(runs[0], runs[1] / "config.json")


def test_a_run_that_is_not_evaluated_is_named(runs, tmp_path):
    (tmp_path / "none").mkdir()
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


def test_without_evaluation_json_the_activation_is_read_off_the_probabilities(runs):
    expected = compare_runs(*runs).gains
    for run in runs:
        (run / "evaluation.json").unlink()
        (run / "config.json").unlink()
    assert compare_runs(*runs).gains == expected


def test_a_seed_that_is_not_evaluated_is_named(tmp_path):
    ours = seed_runs(tmp_path / "a", skill=1.0)
    theirs = seed_runs(tmp_path / "b", skill=1.0)
    (theirs / "seed_10" / "predictions.csv").unlink()
    with pytest.raises(MonaiKDError, match=r"^B, seed 10: the run must be evaluated"):
        compare_seeds(ours, theirs)
