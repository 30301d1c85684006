# SPDX-License-Identifier: Apache-2.0
"""The checklist: 44 lines, answered from the run where it can be, and honest where it cannot."""

from __future__ import annotations

import json

import pytest

from monai_kd.report import claim_checklist, read_run, write_claim_checklist
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return add_evidence(make_run(tmp_path_factory.mktemp("runs") / "run", n=60), external=True)


def items(folder, **changes):
    """The checklist of a run, its config changed."""
    run = read_run(folder)
    run.config.update(changes)
    return {item.number: item for item in claim_checklist(run)}


def test_there_are_44_items_in_order_each_in_one_of_three_states(folder):
    found = claim_checklist(read_run(folder))
    assert [item.number for item in found] == list(range(1, 45))
    assert {item.state for item in found} == {"known", "partly", "not known"}
    assert all((item.answer == "not known") == (item.state == "not known") for item in found)


def test_an_empty_run_claims_nothing_about_data_model_or_results(tmp_path):
    found = items(tmp_path)
    known = {number for number, item in found.items() if item.state == "known"}
    assert known == {11, 27, 29}  # what the library does in every run
    assert found[37].answer == "not known"


def test_the_numbers_are_those_of_the_run(folder):
    found = items(folder)
    summary = json.loads((folder / "evaluation.json").read_text())["sections"]["test"]
    assert f"{summary['macro_auroc']:.3f}" in found[37].answer
    assert "60 films of 30 patients" in found[35].answer
    assert "torch 2.13.0" in found[23].answer
    assert "validation" not in found[26].answer.lower()  # this run has no such section
    assert "sensitivity" in found[38].answer
    assert f"{summary['external']['auroc']:.3f}" in found[33].answer


def test_films_of_patients_are_not_said_to_be_drawn(folder):
    drawn, real = items(folder), items(folder, synthetic=False)
    assert "drawn by a program" in drawn[5].answer
    assert real[5].state == "not known"
    assert "How the labels were found: not known" in real[14].answer
    assert real[17].state == "not known"
    assert real[7].state == "partly"


def test_unknown_labels_are_counted(tmp_path):
    run = make_run(tmp_path / "run", activation="sigmoid", n=30)
    assert "4 of 30 evaluated films" in items(run)[12].answer


def test_pretrained_weights_are_not_called_random(folder):
    assert "At random, seed 3" in items(folder, pretrained=False, seed=3)[24].answer
    assert items(folder, pretrained=True)[24].state == "partly"


def test_the_file_holds_every_item_and_what_is_open_in_bold(folder):
    text = write_claim_checklist(folder).read_text()
    assert sum(line.startswith("| ") and line[2].isdigit() for line in text.splitlines()) == 44
    states = [item.state for item in claim_checklist(read_run(folder))]
    assert text.count("**not known**") == states.count("not known")
    assert f"{states.count('known')} of 44 are known" in text
    assert "10.1148/ryai.240300" in text


def test_a_file_that_says_something_else_makes_an_item_unknown(tmp_path):
    (tmp_path / "config.json").write_text('{"data": 3, "versions": [1], "findings": 4}')
    (tmp_path / "evaluation.json").write_text('{"sections": {"test": {"subgroups": 5}}}')
    assert {item.state for item in items(tmp_path).values()} == {"known", "partly", "not known"}
