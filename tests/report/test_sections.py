# SPDX-License-Identifier: Apache-2.0
"""What the sections say: numbers from the file that holds them, verdicts from their interval."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from monai_kd.metrics import Predictions
from monai_kd.report.common import chosen_on_judged, is_interval, last_part, scale_start, turned
from monai_kd.report.run_files import RunFiles, read_run
from monai_kd.report.sections import SECTIONS
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run


def told(name, run=None, **summary):
    """What a section says of a run that has only these parts of a summary."""
    run = run or RunFiles(Path(), evaluation={"sections": {"test": {"n": 90, **summary}}})
    return SECTIONS[name](run, None)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "run", n=60)
    return read_run(add_evidence(run, external=True))


@pytest.mark.parametrize("name", sorted(set(SECTIONS) - {"title", "limits", "checklist"}))
def test_an_old_or_empty_run_leaves_a_section_out_and_breaks_nothing(name):
    assert not told(name, RunFiles(Path()))
    if name not in {"headline", "findings"}:
        assert not told(name)


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_what_a_section_says_can_be_written_down(name, full):
    if name != "checklist":
        json.dumps(SECTIONS[name](full, None))


def row(**changes):
    return {
        "finding": "viral", "goal": "sensitivity 0.95", "threshold": 0.2,
        "sensitivity": 0.9, "sensitivity_ci": [0.8, 0.95], "specificity": 0.7,
        "specificity_ci": [0.6, 0.8], "tp": 18, "fn": 2, "fp": 12, "tn": 28, "prevalence": None,
    } | changes  # fmt: skip


def test_an_operating_point_is_told_in_films_of_a_hundred():
    found = told("operating_points", operating_points=[row(), row(goal="specificity 0.90")])
    (sentence,) = found["sentences"]  # the first goal of each finding
    assert (sentence["found"], sentence["found_ci"]) == (90, [80, 95])
    assert (sentence["alarms"], sentence["alarms_ci"]) == (30, [20, 40])
    assert len(found["rows"]) == 2
    assert not found["stated"]


def test_a_rate_stands_beside_the_films_that_it_was_counted_on():
    (found,) = told("operating_points", operating_points=[row()])["rows"]
    assert found["counts"] == {
        "sensitivity": "18 of 20", "specificity": "28 of 40", "ppv": "18 of 30", "npv": "28 of 30",
    }  # fmt: skip


def test_an_operating_point_without_positives_has_no_sentence():
    rows = [row(sensitivity=None, sensitivity_ci=None, tp=0, fn=0)]
    assert told("operating_points", operating_points=rows)["sentences"] == []


def test_many_findings_are_a_table_alone():
    rows = [row(finding=f"f{number}") for number in range(7)]
    assert told("operating_points", operating_points=rows)["sentences"] == []
    assert len(told("operating_points", operating_points=rows[:6])["sentences"]) == 6


@pytest.mark.parametrize(
    ("temperature", "words"),
    [(1.4, "surer than it should be"), (0.7, "less sure than it could be"), (1.0, "about right")],
)
def test_the_temperature_is_said_in_words(temperature, words):
    assert words in told("calibration", calibration={"temperature": temperature})["confidence"]


@pytest.mark.parametrize(("scaled", "helps"), [(0.04, True), (0.12, False)])
def test_a_temperature_helps_only_where_the_error_falls(scaled, helps):
    found = {"temperature": 1.4, "ece": 0.1, "ece_scaled": scaled}
    assert told("calibration", calibration=found)["helps"] is helps


def test_the_most_frequent_mistakes_are_shares_of_the_truth():
    matrix = [[8, 2, 0], [1, 99, 0], [5, 0, 5]]
    found = told("mistakes", confusion_matrix=matrix, findings=["a", "b", "c"])
    assert [one["what"] for one in found] == ["c taken for a", "a taken for b", "b taken for a"]
    assert [(one["count"], one["of"]) for one in found] == [(5, 10), (2, 10), (1, 100)]


def test_mistakes_of_independent_findings_are_misses_and_false_marks():
    found = told("mistakes", confusion_matrix={"a": [[90, 10], [3, 7]]}, findings=["a"])
    assert [one["what"] for one in found] == ["a missed", "a marked by mistake"]
    assert [(one["count"], one["of"]) for one in found] == [(3, 10), (10, 100)]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([0.05, 0.19], "worse here than at home"),
        ([-0.02, 0.19], "a drop is not shown"),
        ([-0.3, -0.1], "better here than at home"),
    ],
)
def test_a_drop_is_shown_only_where_its_interval_says_so(limits, words):
    found = told("external", external={"drop": 0.12, "drop_ci": limits, "hints": []})
    assert words in found["shown"]
    assert found["change_ci"] == [-limits[1], -limits[0]]
    assert found["alarming"] == (limits[0] > 0)


def test_a_hint_alarms_also_without_a_drop():
    found = told("external", external={"drop": None, "drop_ci": None, "hints": ["Look again."]})
    assert found["alarming"]
    assert found["change"] is None


@pytest.mark.parametrize(("low", "shown"), [(0.01, True), (-0.01, False)])
def test_looking_better_than_at_random_needs_an_interval_above_0(low, shown):
    beyond = {"mass_inside": 0.05, "mass_inside_ci": [low, 0.1]}
    found = told("regions", decision_regions={"mass_inside": 0.2, "beyond_control": beyond})
    assert found["beyond"]["shown"] is shown


def looks(n, empty=0, **others):
    return {"mass_inside": 0.2, "n": n, "empty": empty} | others


def test_the_control_is_a_row_of_its_own_with_its_own_films():
    beyond = {"mass_inside": 0.1, "mass_inside_ci": [0.01, 0.2]}
    ours = looks(54, 7, control={"mass_inside": 0.06, "n": 8}, beyond_control=beyond)
    found = told("regions", decision_regions=ours)
    assert found["models"]["same network, shuffled weights"] == {"mass_inside": 0.06, "n": 8}
    assert found["beyond"]["pairs"] == 8
    assert found["with_empty"]


def test_an_old_control_without_a_number_of_films_gets_none():
    found = told("regions", decision_regions=looks(54, control={"mass_inside": 0.06}))
    assert "n" not in found["models"]["same network, shuffled weights"]


@pytest.mark.parametrize(
    ("ours", "theirs", "other"),
    [
        (looks(60), looks(60), False), (looks(54, 7), looks(60, 1), True),
        (looks(60, 1), looks(60, 1), True), (looks(54), looks(60), True),
    ],
)  # fmt: skip
def test_rows_of_different_films_are_known_as_such(ours, theirs, other):
    runs = [
        RunFiles(Path(), evaluation={"sections": {"test": {"n": 90, "decision_regions": one}}})
        for one in (ours, theirs)
    ]
    assert SECTIONS["regions"](*runs)["other_films"] is other
    assert SECTIONS["regions"](runs[0], None)["other_films"] is False


def film(**changes):
    return {
        "picture": "worst_01", "rank": 1, "label": {"a": 1, "b": 0, "c": 0},
        "prob": {"a": 0.1, "b": 0.7, "c": 0.2}, "loss": 2.3, "explained": "b",
    } | changes  # fmt: skip


def test_a_wrong_answer_is_marked_and_no_other():
    (found,) = told("worst", worst_cases=[film()], activation="softmax")
    assert [(one["name"], one["wrong"]) for one in found["answers"]] == [
        ("b", True), ("c", False), ("a", False),
    ]  # fmt: skip
    unknown = film(label={"a": 1, "b": None, "c": 0}, prob={"a": 0.1, "b": 0.9, "c": 0.6})
    (found,) = told("worst", worst_cases=[unknown], activation="sigmoid")
    assert [one["wrong"] for one in found["answers"]] == [False, True, False]


def table(**metadata):
    """Predictions of which only these columns matter."""
    n = len(next(iter(metadata.values())))
    return Predictions(["a"], [str(i) for i in range(n)], None, np.ones((n, 1)), np.ones((n, 1)),
                       metadata)  # fmt: skip


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"age": 54}, "F, aged 40 to 59, PA"), ({"age": "054Y"}, "F, aged 40 to 59, PA"),
        ({"age": 91}, "F, PA"),  # the only one of that age
        ({"age": ""}, "F, PA"), ({"age": None}, "F, PA"), ({"age": "Planted^Name"}, "F, PA"),
        ({"view": "oblique"}, "F"), ({"site": "north"}, "F, PA, site north"),
        ({"site": "Planted^Name"}, "F, PA"), ({"sex": ""}, "PA"),
    ],
)  # fmt: skip
def test_of_a_film_only_what_ten_films_share_is_told(known, words):
    case = film(sex="F", view="PA", site="", patient_id="p1") | known
    evaluation = {"sections": {"test": {"n": 20, "worst_cases": [case]}}}
    columns = {
        "sex": ["F"] * 10 + ["M"] * 10, "age": ["45"] * 10 + ["91"] + [""] * 9,
        "view": ["PA"] * 19 + ["oblique"],
        "site": ["north"] * 10 + ["Planted^Name"] + [""] * 9,
    }  # fmt: skip
    run = RunFiles(Path(), evaluation=evaluation, predictions=table(**columns))
    assert told("worst", run)[0]["about"] == words


def test_without_predictions_the_groups_of_the_evaluation_are_told():
    case = film(sex="F", view="oblique", age=45)
    groups = [{"by": "sex", "group": "F", "n": 12}]
    assert told("worst", worst_cases=[case], subgroups=groups)[0]["about"] == "F"
    assert told("worst", worst_cases=[case])[0]["about"] == ""


def test_a_wide_picture_stands_above_its_words(full, tmp_path):
    from PIL import Image

    assert not any(one["wide"] for one in SECTIONS["worst"](full, None))
    (tmp_path / "pictures" / "worst").mkdir(parents=True)
    Image.new("L", (90, 30)).save(tmp_path / "pictures" / "worst" / "worst_01.png")
    evaluation = {"sections": {"test": {"worst_cases": [film()]}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    assert told("worst", read_run(tmp_path))[0]["wide"]


def test_groups_stay_in_their_order_and_share_an_axis():
    rows = [
        {"by": "age", "group": "18 to 39", "macro_auroc_ci": [0.31, 0.9]},
        {"by": "sex", "group": "F", "macro_auroc_ci": None},
        {"by": "age", "group": "40 to 59", "macro_auroc_ci": [0.7, 0.9]},
    ]
    found = told("subgroups", subgroups=rows)
    assert list(found["groups"]) == ["Age in years", "Sex"]
    assert found["scale_from"] == pytest.approx(0.3)


def test_films_in_no_group_are_counted_by_column():
    rows = [
        {"by": "sex", "group": "F", "n": 50}, {"by": "sex", "group": "M", "n": 40},
        {"by": "view", "group": "PA", "n": 83},
    ]  # fmt: skip
    found = told("subgroups", subgroups=rows)
    assert found["left_out"] == {"Sex": 0, "View": 7}


def described(**changes):
    row = {"images": 30, "patients": 30, "positives": {"a": 9}, "regions": 0, "sites": {}}
    return row | changes


@pytest.mark.parametrize(
    ("row", "cell"),
    [
        (described(), "9"),
        (described(positives={"a": 0}), "–"),  # noqa: RUF001
        (described(positives={"a": None}, known={"a": 0}), "–"),  # noqa: RUF001
        (described(positives={"a": 0}, known={"a": 30}), "0"),
        (described(known={"a": 12}), "9 of 12"),
    ],
)
def test_no_known_label_is_a_dash_and_not_a_0(row, cell):
    found = told("data", RunFiles(Path(), config={"data": {"unlabeled_1": row}}))
    assert found["rows"]["unlabeled_1"]["positives"] == {"a": cell}


def test_sites_of_few_films_are_one():
    rows = {
        "labeled": described(sites={"north": 20, "Planted^Name": 4, "south": 6}),
        "test": described(sites={"north": 10, "south": 8, "hut": 1}),
    }
    found = told("data", RunFiles(Path(), config={"data": rows}))
    assert found["sites"] == ["north", "south", "other"]
    assert found["rows"]["labeled"]["sites"] == {"north": 20, "other": 4, "south": 6}
    assert found["rows"]["test"]["sites"] == {"north": 10, "south": 8, "other": 1}


def of_section(name, config=None, **summary):
    evaluation = {"sections": {name: {"n": 300, **summary}}}
    return RunFiles(Path(), evaluation=evaluation, config=config or {})


def test_unknown_patients_are_not_counted():
    run = of_section("test", {"films_without_patient": 4, "data": {"test": described()}},
                     patients=183)  # fmt: skip
    assert SECTIONS["headline"](run, None)["patients"] is None
    assert SECTIONS["data"](run, None)["rows"]["test"]["patients"] is None
    assert any("patient of 4 films" in said for said in SECTIONS["limits"](run, None))
    known = of_section("test", {"films_without_patient": 0}, patients=183)
    assert SECTIONS["headline"](known, None)["patients"] == 183
    assert not any("patient of" in said for said in SECTIONS["limits"](known, None))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("labeled", "films of the training"), ("unlabeled_1", "films of the training"),
        ("validation", "films that chose the epoch"), ("test", None), ("holdout", None),
    ],
)  # fmt: skip
def test_films_that_the_model_has_met_before_are_named(section, words):
    run = of_section(section)
    assert SECTIONS["headline"](run, None)["judged_on"] == words
    said = " ".join(SECTIONS["limits"](run, None))
    assert ("they flatter the model" in said) == bool(words)
    assert words is None or words in said
    assert SECTIONS["headline"](of_section(section, external={"drop": 0.1}), None)[
        "judged_on"
    ] is None  # fmt: skip


@pytest.mark.parametrize(
    ("section", "summary", "shared"),
    [
        ("test", {}, 0), ("test", {"shared_with_validation": 12}, 12),
        ("validation", {}, 300), ("validation", {"shared_with_validation": 0}, 0),
        ("validation", {"external": {"drop": 0.1}}, 0),
    ],
)  # fmt: skip
def test_films_that_chose_the_threshold_are_counted(section, summary, shared):
    run = of_section(section, **summary)
    assert chosen_on_judged(run) == shared
    points = of_section(section, **summary, operating_points=[row()])
    assert bool(SECTIONS["operating_points"](points, None)["shared"]) is bool(shared)


def test_hashes_are_those_of_the_files(tmp_path):
    import hashlib

    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "config.json").write_text(
        '{"sha256": "no hash", "datalist_sha256": "%s"}' % ("a" * 64)
    )
    assert told("hashes", read_run(tmp_path)) == {
        "datalist of the training": "a" * 64,
        "model.pt": hashlib.sha256(b"weights").hexdigest(),
    }


def test_no_knob_is_a_path_or_an_expression(full):
    knobs = SECTIONS["settings"](full, None)
    assert knobs["dataset_dir"] == "… / phantom"
    assert "device" not in knobs
    assert not any(re.search(r"/home", value) for value in knobs.values())


def test_small_helpers():
    assert is_interval([0.1, 0.2])
    assert not is_interval([0.1, float("nan")])
    assert not is_interval(None)
    assert turned([-0.1, 0.3]) == [-0.3, 0.1]
    assert turned([0.2, 0.3], around=1) == pytest.approx([0.7, 0.8])
    assert turned([0.2, None]) is None
    assert scale_start([[0.62, 0.7], None]) == 0.5
    assert last_part("C:\\films\\Planted^Name\\run") == "… / run"
