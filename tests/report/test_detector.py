# SPDX-License-Identifier: Apache-2.0
"""The page of a detector: boxes at two thresholds, films with boxes, how the pseudo labels did."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.metrics import read_health
from monai_kd.report import build_page, read_run
from monai_kd.report.claim import write_claim_checklist
from monai_kd.report.common import METHODS, is_detector, map_name, method_name
from monai_kd.report.localized import run_candidates
from monai_kd.report.pseudo_label_plots import columns_of, pseudo_labels_png
from monai_kd.report.sections import SECTIONS
from tests.report.fake_detector import make_detector
from tests.report.fake_run import make_run
from tests.report.read_page import changed, changed_summary, quick_plots, words

NAME = "Zzyzx^Planted"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_plots(monkeypatch)


@pytest.fixture
def run(tmp_path):
    return make_detector(make_run(tmp_path / "aals"), name=NAME)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        quick_plots(patch)
        made = make_detector(make_run(tmp_path_factory.mktemp("page") / "aals"), name=NAME)
        return build_page(made).read_text(encoding="utf-8")


def section(name, run):
    return SECTIONS[name](read_run(run), None)


# The tables are small enough to count in the head, see `fake_detector._tables`.
def test_the_two_thresholds_are_kept_to_on_the_test_films(run):
    found = section("box_points", run)
    dotted, solid = found["rows"]
    assert (dotted["line"], dotted["found"], dotted["lesions"], dotted["fp"]) == (
        "dotted", 4, 5, 2 / 4,
    )  # fmt: skip
    assert (solid["line"], solid["found"], solid["lesions"], solid["fp"]) == ("solid", 2, 5, 1 / 4)
    assert dotted["recall"] == pytest.approx(0.8)
    assert solid["recall_ci"][0] < 0.4 < solid["recall_ci"][1]
    assert (dotted["promised"], dotted["promised_fp"]) == (0.8, 0.48)


def test_a_score_that_was_written_with_six_digits_still_reaches_its_threshold(run):
    points = json.loads((run / "operating_points.json").read_text())
    points["findings"]["fracture"]["solid"]["threshold"] = 0.6000012  # written as 0.600001
    changed(run, operating_points=points)
    assert section("box_points", run)["rows"][1]["found"] == 2


def test_candidates_of_one_run_are_those_of_its_tables(run):
    found = run_candidates(run)["fracture"]
    assert found.images == 4
    assert found.lesions.tolist() == [2, 2, 1, 0]
    assert found.lesion.tolist() == [0, 1, -2, 1, 0, 0, -1, -1, -1]
    assert found.patient_id == ["p0", "p1", "p2", "p3"]


def test_without_tables_of_this_evaluation_only_the_promise_is_shown(run):
    changed(run, files={"candidates.csv": "0" * 64, "lesions.csv": "0" * 64})
    found = section("box_points", run)
    assert not found["judged"]
    assert "recall" not in found["rows"][0]
    (run / "candidates.csv").unlink()
    assert not section("box_points", run)["judged"]
    said = words(build_page(run).read_text())
    assert "Not available: what the thresholds reach on these films" in said
    assert "false boxes per film" in said


def test_a_finding_without_a_threshold_has_no_numbers(run):
    points = {"threshold": None, "fp_per_image": 0.0, "recall": None}
    changed(run, operating_points={"findings": {"fracture": {"dotted": points, "solid": points}}})
    assert "recall" not in section("box_points", run)["rows"][0]
    assert "Boxes at the two operating points" in words(build_page(run).read_text())


def test_no_more_than_six_films_with_boxes_and_no_name_in_them(text):
    assert text.count('alt="Film with drawn and detected boxes"') == 6
    assert NAME not in text
    assert "film_10" not in text
    assert "White is what an expert drew" in words(text)


def test_films_with_boxes_come_in_the_order_of_their_numbers(run):
    shown = ["film_0", "film_2", "film_10", "film_11", "film_20", "film_100"]
    assert list(read_run(run).boxes) == shown


def without_points(run):
    content = json.loads((run / "evaluation.json").read_text())
    del content["operating_points"]
    (run / "evaluation.json").write_text(json.dumps(content))
    return run


def test_an_evaluation_elsewhere_has_the_points_that_it_used(run):
    (run / "operating_points.json").unlink()
    changed(run, settings={"bundle": "cxr_aals_fracture_detection"})
    assert section("box_points", run)["rows"][0]["threshold"] == 0.2
    assert "Boxes at the two operating points" in words(build_page(run).read_text())


def test_points_of_an_older_evaluation_are_those_of_the_folder(run):
    assert section("box_points", without_points(run))["rows"][0]["threshold"] == 0.2


@pytest.mark.parametrize("why", ["trained elsewhere", "trained again"])
def test_points_of_another_training_are_not_shown(run, why):
    without_points(run)
    if why == "trained elsewhere":
        changed(run, settings={"bundle": "cxr_aals_fracture_detection"})
    else:
        (run / "model.pt").write_bytes(b"another")
        changed(run, model_sha256="0" * 64)
    assert section("box_points", run) is None


def test_the_numbers_of_the_boxes_are_on_the_page(text):
    said = words(text)
    assert "fracture dotted or solid 0.200 80% 0.48 80%" in said
    assert "4 of 5 0.50 on 4 films" in said
    assert "2 of 5 0.25 on 4 films" in said


def test_each_curve_of_the_pseudo_labels_is_explained_and_ends_somewhere(run, text):
    found = section("pseudo_labels", run)
    columns = read_health(run / "health.csv")["second_stage"]
    assert [curve["title"] for curve in found["curves"]] == [
        "Films on which the teacher speaks up", "How sure the teacher is", "What sharpening adds",
        "How much of it is in the right place", "Part of the loss",
    ]  # fmt: skip
    assert found["curves"][0]["ends"] == {"fracture": columns["above_center_fracture"][-1]}
    assert found["curves"][4]["ends"] == {"": columns["distillation_share"][-1]}
    assert (found["maps"], found["last"], found["silent"]) == (3000, 1000, [])
    said = words(text)
    assert "How the pseudo labels did" in said
    assert "above the center (0.4). Only these are sharpened" in said
    assert "hidden_regions" not in said


def test_what_nobody_knows_of_the_pseudo_labels_is_said(tmp_path):
    run = make_detector(make_run(tmp_path / "aals"), hidden=False)
    assert len(section("pseudo_labels", run)["curves"]) == 4
    said = words(build_page(run).read_text())
    assert "is not known: the datalist has no hidden_regions" in said
    assert "How much of it is in the right place" not in said


def test_a_silent_teacher_is_said(tmp_path):
    run = make_detector(make_run(tmp_path / "aals"), silent=True)
    said = words(build_page(run).read_text())
    assert "the teacher's peak was above the center on no film with fracture" in said


def test_a_method_that_does_not_sharpen_is_not_said_to(run):
    changed(run, "config.json", method="mean_teacher")
    said = words(build_page(run).read_text())
    assert "teacher's map. What these maps were worth" in said
    assert "Only these are sharpened" not in said
    assert "Near 0, the teacher sees the finding on none of them" in said


def test_a_run_without_pseudo_labels_has_no_such_section(run):
    (run / "health.csv").write_text("phase,iteration,information\nround_1,20,0.5\n")
    assert section("pseudo_labels", run) is None
    (run / "health.csv").unlink()
    assert section("pseudo_labels", run) is None


def test_a_broken_table_costs_its_section_alone(run):
    (run / "health.csv").write_text("nothing")
    changed(run, operating_points={"findings": {"fracture": {"dotted": 3}}})
    said = words(build_page(run).read_text())
    assert "How the pseudo labels did" not in said
    assert "Does it find the lesion?" in said


def test_findings_whose_names_begin_alike_have_curves_of_their_own():
    columns = {"iteration": [1.0], "peak_rib": [0.1], "peak_rib_old": [0.2], "peaks": [0.3]}
    assert columns_of(columns, "peak") == {"rib": [0.1], "rib_old": [0.2]}
    picture = pseudo_labels_png(columns | {"distillation_share": [np.nan]}, center=0.4)
    assert picture.startswith(b"\x89PNG")


def test_the_page_says_nothing_of_heat_maps_that_a_detector_has_not(text):
    said = words(text)
    assert "AALS: adaptive asymmetric label sharpening" in said
    assert "Peaks of the network's own map are candidates" in said
    assert "The map from which the detector reads its answer" in said
    assert "A box shows where this network places the finding" in said
    assert "FROC score 0.621 0.550 to 0.690" in said
    assert "heat map of the finding" not in said.lower()
    assert "Grad-CAM" not in said
    assert "no teacher was evaluated" not in said


def test_the_page_of_a_classifier_is_as_it_was(tmp_path):
    run = changed_summary(make_run(tmp_path / "hkd"), localization={})
    said = words(build_page(run).read_text())
    assert "A heat map shows what moves this network" in said
    assert "Heat map (Grad-CAM) of the finding on films" in said
    for word in ("Boxes", "Pseudo labels", "detector"):
        assert word not in said


@pytest.mark.parametrize(
    ("bundle", "method", "name"),
    [
        ("cxr_aals_fracture_detection", "aals", METHODS["aals"]),
        ("cxr_aals_fracture_detection", "mean_teacher", "Mean Teacher: maps of the teacher as"),
        ("cxr_aals_fracture_detection", "supervised", "Supervised on drawn films and films with"),
        ("cxr_aals_fracture_detection", "symmetric", METHODS["symmetric"]),
        ("cxr_aals_fracture_detection", "constant", METHODS["constant"]),
        ("cxr_aals_fracture_detection", "hard", METHODS["hard"]),
        ("cxr_distl_classification", "mean_teacher", METHODS["mean_teacher"]),
        ("cxr_distl_classification", "supervised", METHODS["supervised"]),
        ("another", "mine", "mine"),
    ],
)
def test_a_method_is_called_what_it_is_in_its_bundle(run, bundle, method, name):
    changed_summary(run, decision_regions={"method": "grad_cam"})
    changed(run, "config.json", bundle=bundle, method=method)
    assert method_name(read_run(run)).startswith(name)


def test_a_detector_is_known_by_its_maps_too(run):
    changed(run, "config.json", bundle="")
    assert is_detector(read_run(run))
    assert map_name("map") == "the detector's own"


def test_card_and_checklist_are_those_of_a_detector(run):
    build_page(run)
    write_claim_checklist(run)
    card, claim = (run / "MODEL_CARD.md").read_text(), (run / "CLAIM.md").read_text()
    assert card.startswith("# Model card: AALS: adaptive asymmetric label sharpening")
    assert "A box shows where this network places the finding" in card
    assert "heat map" not in card.lower()
    assert "Build and test a detector on radiographs" in claim
    assert "resnet50 with a feature pyramid and one map per finding" in claim
    assert "first stage epochs 20" in claim
    assert "Heat maps (the detector's own) checked against drawn regions" in claim
