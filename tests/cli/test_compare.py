# SPDX-License-Identifier: Apache-2.0
"""The compare command: a table a person can read, files for programs, one sentence for mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_kd.cli.comparison_table import SCORE_NAMES, comparison_rows
from monai_kd.cli.main import main
from monai_kd.metrics import Difference
from monai_kd.report import Comparison, Gain
from tests.report.run_folders import write_run


@pytest.fixture
def runs(tmp_path):
    ours = write_run(tmp_path / "a", skill=3.0)
    return str(ours), str(write_run(tmp_path / "b", skill=0.5, seed=1, method="baseline"))


def line(out, name):
    return next(row for row in out.splitlines() if row.strip().startswith(name))


def test_a_gain_is_shown_with_its_interval(runs, capsys):
    assert main(["compare", *runs]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A minus B on 60 films of 30 patients, section test, film by film.\n")
    assert "A and B differ in: method hkd / baseline." in out
    assert line(out, "macro AUROC").endswith("gain shown")
    assert line(out, "Brier (lower is better)").endswith("gain shown")
    assert "AUROC by finding" in out
    assert "macro AUROC by sex" in out


def test_a_run_compared_with_itself_is_not_shown(runs, capsys):
    assert main(["compare", runs[0], runs[0]]) == 0
    out = capsys.readouterr().out
    assert "gain shown" not in out.replace("not shown", "")
    assert line(out, "macro AUROC").split()[-2:] == ["not", "shown"]


def test_the_columns_stand_below_each_other(runs, capsys):
    main(["compare", *runs, "--metric", "macro_auroc"])
    table = capsys.readouterr().out.split("\n\n")[1].splitlines()
    ends = {len(row) for row in table if row.split()[-1] in {"shown", "verdict"}}
    assert len(ends) == 1


def test_what_the_data_cannot_say_is_a_dash():
    nan = float("nan")
    gain = Gain("macro_auroc", "sex", "F", 12, nan, nan, Difference(nan, nan, nan, nan))
    rows = comparison_rows(Comparison(films=12, patients=None, gains=[gain]))
    assert rows[-1] == ["  F", "12", "-", "-", "-", "-", "-", "not shown"]


def test_only_the_scores_that_are_asked_for_are_compared(runs, capsys):
    main(["compare", *runs, "--metric", "accuracy", "macro_f1"])
    out = capsys.readouterr().out
    assert "accuracy by sex" in out
    assert "AUROC" not in out


def test_scores_that_are_asked_for_one_by_one_are_all_compared(runs, capsys):
    main(["compare", *runs, "--metric", "accuracy", "--metric", "macro_f1"])
    out = capsys.readouterr().out
    assert line(out, "accuracy")
    assert line(out, "macro F1")


def test_patients_that_are_not_known_are_said(runs, capsys):
    for run in runs:
        write_run(Path(run), films_without_patient=2)
    main(["compare", *runs])
    assert "A minus B on 60 films, patients not known, section test" in capsys.readouterr().out


def test_json_and_markdown_hold_the_same_comparison(runs, tmp_path, capsys):
    files = [tmp_path / "out" / "c.json", tmp_path / "out" / "c.md"]
    main(["compare", *runs, "--json", str(files[0]), "--markdown", str(files[1])])
    first = json.loads(files[0].read_text())["gains"][0]
    cells = [cell.strip() for cell in line(files[1].read_text(), "|   macro AUROC").split("|")]
    assert cells[5] == f"{first['difference']:+.3f}"
    assert cells[-2] == first["verdict"] == "gain shown"
    assert "|---|---:|" in files[1].read_text()


def test_seeds_get_their_spread_and_both_intervals(tmp_path, capsys):
    for seed in range(3):
        write_run(tmp_path / "a" / f"seed_{seed}", skill=3.0, seed=seed)
        write_run(tmp_path / "b" / f"seed_{seed}", skill=0.5, seed=10 + seed)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--seeds"]) == 0
    out = capsys.readouterr().out
    assert ", 3 seeds, film by film." in out
    assert "over both, seeds and patients. p and verdict are of both." in out
    assert line(out, "macro AUROC").count(" to ") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds"], "must both hold the runs seed_0, seed_1, and so on"),
        (["--metric", "auroc"], "Did you mean `macro_auroc`"),
        (["--metric", "brier", "--metric", "brier"], "must name each score once, got brier twice"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(runs, capsys, words, message):
    assert main(["compare", *runs, *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_run_that_is_not_evaluated_is_exit_code_2_without_its_path(runs, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(["compare", runs[0], str(tmp_path / "none")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("monai_kd: B: the run must be evaluated")
    assert str(tmp_path) not in err


def test_help_names_every_score():
    from monai_kd.cli import compare
    from monai_kd.metrics import SCORES

    text = compare._EXAMPLE.replace("\n", " ")
    assert all(name in text for name in SCORES)
    assert set(SCORE_NAMES) == {*SCORES, "froc_score"}
