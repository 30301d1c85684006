# SPDX-License-Identifier: Apache-2.0
"""The checklist: 44 lines, answered from the run where it can be, and honest where it cannot."""

from __future__ import annotations

import json
import shutil

import pytest

from monai_kd.report import claim_checklist, read_run, write_claim_checklist
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = add_evidence(make_run(tmp_path_factory.mktemp("runs") / "run", n=60), external=True)
    shutil.rmtree(run / "pictures")  # the checklist shows none, and reading them takes its time
    return run


@pytest.fixture
def evaluated(folder, tmp_path):
    """A copy of the run, to be evaluated otherwise."""
    return shutil.copytree(folder, tmp_path / "run")


def change(folder, section="test", **values):
    """Change the summary in ``evaluation.json``, its section renamed."""
    path = folder / "evaluation.json"
    evaluation = json.loads(path.read_text())
    summary = evaluation["sections"].pop("test") | values
    evaluation |= {"sections": {section: summary}, "predictions_of": section}
    path.write_text(json.dumps(evaluation))
    return folder


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
    partly = {number for number, item in found.items() if item.state == "partly"}
    assert not known
    assert partly == {41, 43}  # true of any run: research only, and the software's licence


def test_the_numbers_are_those_of_the_run(folder):
    found = items(folder)
    summary = json.loads((folder / "evaluation.json").read_text())["sections"]["test"]
    assert f"{summary['macro_auroc']:.3f}" in found[37].answer
    assert "60 films of 30 patients" in found[35].answer
    assert "torch 2.13.0" in found[23].answer
    assert "validation" not in found[26].answer.lower()  # this run has no such section
    assert "sensitivity" in found[38].answer
    assert f"{summary['external']['auroc']:.3f}" in found[33].answer


def test_a_patient_is_not_claimed_where_patients_are_not_known(folder):
    sure, unsure = items(folder), items(folder, films_without_patient=42)
    assert sure[20].state == "known"
    assert unsure[20].state == "partly"
    assert "42 of 210 films have no patient, so a patient may be in two" in unsure[20].answer
    assert sure[19].answer.startswith("Patients: labeled 60")
    assert unsure[19].answer.startswith("Films: labeled 120")
    assert "counted together" in sure[29].answer
    assert unsure[29].state == "partly"
    assert "may be too narrow" in unsure[29].answer
    assert "of how many patients is not known" in unsure[35].answer
    assert "30 patients" not in unsure[35].answer


def test_films_that_training_has_seen_are_not_called_a_test(evaluated):
    change(evaluated, "labeled", external=None)
    found = items(evaluated)
    assert found[32].answer == "No: section labeled, films of the training."
    assert found[37].state == "partly"
    assert found[38].state == "partly"
    assert all("These are films of the training." in found[number].answer for number in (37, 38))


def test_a_test_that_stands_beside_the_leading_section_is_named(evaluated):
    change(evaluated, "labeled", external=None)
    path = evaluated / "evaluation.json"
    evaluation = json.loads(path.read_text())
    evaluation["sections"]["test"] = {"n": 60}
    path.write_text(json.dumps(evaluation))
    assert items(evaluated)[32].answer.endswith("Evaluated as well: section test.")


def test_validation_films_chose_the_epoch_the_threshold_and_the_temperature(evaluated):
    found = items(change(evaluated, "validation", external=None, shared_with_validation=58))
    assert found[32].state == "partly"
    assert "films that chose the epoch" in found[32].answer
    assert found[38].state == "partly"
    assert "58 of the 60 films judged here also chose thresholds" in found[38].answer


def test_patients_that_are_not_known_may_have_been_seen_by_training(evaluated):
    change(evaluated, external=None)
    assert items(evaluated)[33].answer == "Not in this evaluation. Elsewhere: not known."
    assert items(evaluated)[32].answer == "Yes: section test, patients that training has not seen."
    unsure = items(evaluated, films_without_patient=1)[32]
    assert unsure.state == "partly"
    assert "whether it saw their patients is not known" in unsure.answer


def test_a_section_without_a_judged_film_answers_nothing(evaluated):
    found = items(change(evaluated, "unlabeled_1", n=0, external=None))
    assert {found[number].state for number in (28, 29, 32, 33, 37)} == {"not known"}


@pytest.mark.parametrize(
    ("external", "home", "away"),
    [
        pytest.param(
            {"internal_section": "test"},
            "Yes: macro AUROC 0.800 (0.700 to 0.900) on section test of its own datalist.",
            "Yes: macro AUROC 0.853, 0.053 higher (0.010 to 0.090) than on its own section test "
            "(0.800).",
            id="higher",
        ),
        pytest.param(
            {"internal_section": "validation", "drop": 0.06, "drop_ci": None},
            "Yes: macro AUROC 0.800 (0.700 to 0.900) on section validation of its own datalist, "
            "but these films chose the epoch.",
            "Yes: macro AUROC 0.853, 0.060 lower than on its own section validation (0.800), whose "
            "films chose the epoch.",
            id="validation",
        ),
        pytest.param(
            {"internal_auroc": None, "internal_ci": None, "drop": None, "drop_ci": None},
            "not known",
            "Yes: macro AUROC 0.853, with no evaluation on its own films to compare it with.",
            id="nothing to compare with",
        ),
    ],
)
def test_another_site_is_told_by_its_direction(evaluated, external, home, away):
    found = {
        "internal_auroc": 0.8, "internal_ci": [0.7, 0.9], "auroc": 0.853,
        "drop": -0.053, "drop_ci": [-0.09, -0.01], "verdict": "gain shown",
    }  # fmt: skip
    answers = items(change(evaluated, external=found | external))
    assert answers[32].answer == home
    assert answers[33].answer == away


def test_a_view_of_few_films_is_not_named(folder):
    run = read_run(folder)
    run.predictions.metadata["view"] = ["frontal"] * 49 + ["lateral"] * 10 + ["swimmer's"]
    found = {item.number: item for item in claim_checklist(run)}
    told = "Views of the evaluated films: frontal (49 films), lateral (10 films), other (1 film)."
    assert found[13].answer.startswith(told)


def test_a_site_of_few_films_is_not_named(folder):
    section = {"images": 30, "patients": 20, "sites": {"harbor": 21, "doctor k": 9}}
    found = items(folder, synthetic=False, data={"labeled": section})
    assert "harbor (21 films), other (9 films)" in found[7].answer


def test_groups_of_few_films_are_not_told(evaluated):
    rows = [
        {"by": "age", "group": group, "n": n} for group, n in (("60 to 79", 30), ("over 80", 9))
    ]
    assert "over 80" not in items(change(evaluated, subgroups=rows))[36].answer


def test_answers_that_no_run_gives_are_only_given_in_part(folder):
    drawn, real = items(folder), items(folder, synthetic=False)
    assert (drawn[9].state, drawn[11].state) == ("known", "known")
    assert (real[9].state, real[11].state) == ("partly", "partly")
    assert "Which formats the films had" in real[9].answer
    assert "curves" not in real[25].answer.lower()  # this run has none
    assert "other section" in items(folder, data={"validation": {"images": 9}})[26].answer


def test_a_threshold_is_told_with_its_goal(folder):
    assert "normal, at the threshold chosen on validation for sensitivity 0.95: " in (
        items(folder)[38].answer
    )


def test_the_control_is_told_with_its_own_films(evaluated):
    regions = {
        "mass_inside": 0.31, "n": 54, "method": "grad_cam",
        "control": {"mass_inside": 0.05, "n": 8},
    }  # fmt: skip
    answer = items(change(evaluated, decision_regions=regions))[31].answer
    assert "on 54 films" in answer
    assert "shuffled weights has 5.0% on 8 films" in answer


def test_unreadable_films_are_counted_where_the_run_counts_them(evaluated):
    assert "not scored." in items(evaluated)[12].answer
    assert "not scored: 3 here." in items(change(evaluated, unreadable=3))[12].answer


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


def test_a_file_that_says_something_else_makes_an_item_unknown(tmp_path, caplog):
    (tmp_path / "config.json").write_text('{"data": 3, "versions": [1], "findings": 4}')
    (tmp_path / "evaluation.json").write_text('{"sections": {"test": {"subgroups": 5}}}')
    found = items(tmp_path)
    assert {found[number].state for number in (6, 20, 28, 30, 32)} == {"not known"}
    assert "The checklist goes without an answer: TypeError" in caplog.text
