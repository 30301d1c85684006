# SPDX-License-Identifier: Apache-2.0
"""The page of a training in rounds says what was measured, and no more than the intervals allow."""

from __future__ import annotations

import importlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from monai_kd.report import build_page, read_run
from monai_kd.report.evolution_files import read_evolution
from monai_kd.report.evolution_plots import auroc_by_round_png, health_png
from monai_kd.report.sections.evolution import evolution
from tests.report.fake_evolution import add_evolution, difference
from tests.report.fake_run import make_run
from tests.report.read_page import quick_plots
from tests.report.read_page import words as words_and_gaps

NAME = "Zzyzx^Planted"
SECTION = importlib.import_module("monai_kd.report.sections.evolution")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_plots(monkeypatch)
    for name in ("auroc_by_round_png", "health_png"):
        monkeypatch.setattr(SECTION, name, lambda *_, **__: b"PNG")


def words(html):
    """The text that a reader sees; a tag leaves no gap before a comma."""
    return re.sub(r" ([,.:])", r"\1", words_and_gaps(html))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return add_evolution(make_run(folder / NAME, name=NAME), name=NAME)


@pytest.fixture
def page(run):
    return build_page(run).read_text(encoding="utf-8")


def told(folder):
    return evolution(read_run(folder), None)


def changed(folder, change):
    """Apply ``change`` to the content of ``evolution.json``."""
    path = folder / "evolution.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def own(tmp_path):
    return add_evolution(make_run(tmp_path / "run", n=30))


def test_a_run_without_rounds_has_no_such_section(tmp_path):
    page = build_page(make_run(tmp_path / "run", n=30)).read_text(encoding="utf-8")
    assert "How the model evolved" not in page
    assert 'id="evolution"' not in page


def test_each_round_and_method_has_its_score_and_interval(page):
    text = words(page)
    assert "DISTL, student 0.842 0.792 to 0.882 0.871 0.821 to 0.911" in text
    assert "0.866 0.816 to 0.906 rolled back" in text
    assert "supervised, all labels 0.842 0.792 to 0.882 0.902 0.852 to 0.942" in text
    assert "round 3 70 + 210 films delivered" in text
    assert "on the 90 films of 45 patients of section test, which no round has seen" in text


def test_the_way_from_the_initial_to_the_delivered_model_leads(page):
    assert (
        "the AUROC went from 0.842 to 0.903: paired difference +0.061 (95% CI +0.026 to +0.096)."
        " A gain is shown by this one run. Of the +0.092 that all labels would bring, the rounds"
        " bring 66% (95% CI 21% to 110%)."
    ) in words(page)


@pytest.mark.parametrize(
    ("value", "words_", "suspect"),
    [(0.02, "A gain is not shown", True), (-0.06, "A loss is shown", True),
     (0.06, "A gain is shown", False)],
)  # fmt: skip
def test_nothing_is_shown_where_the_interval_holds_0(own, value, words_, suspect):
    def change(content):
        content["methods"][0]["rounds"][3]["against_initial"] = difference(value)

    html = build_page(changed(own, change)).read_text(encoding="utf-8")
    assert f"{words_} by this one run" in words(html)
    assert ('class="verdict suspect"' in html) is suspect


def test_a_gap_that_is_not_shown_has_no_share(own):
    def change(content):
        content["methods"][0]["rounds"][3]["gap_closed"] = {"gap": 0.01, "value": None, "ci": None}

    text = words(build_page(changed(own, change)).read_text(encoding="utf-8"))
    assert "is itself not shown (+0.010), so no share of that gap is given" in text


def test_differences_to_every_other_model_are_named(run):
    rows = told(run)["changes"]
    assert [row["name"] for row in rows] == [
        "minus the initial model", "minus the model it started from",
        "minus supervised, same labels", "minus supervised, all labels", "minus Mean Teacher",
    ]  # fmt: skip
    assert [cell["shown"] for cell in rows[3]["cells"]] == [
        "not shown", "loss shown", "not shown",
    ]  # fmt: skip


def test_the_decisions_of_the_gate_are_said_in_words(page):
    text = words(page)
    assert "Round 1 was kept: validation AUROC +0.023 (95% CI −0.020 to +0.066)" in text  # noqa: RUF001
    assert "Round 2 was rolled back, worse by more than 0.05: macro AUROC -0.061 on 60" in text
    assert "The next round started from the model before it." in text
    assert re.search(r"Round 3 was kept: .{75,95} It is the one that is delivered\.", text)


def test_when_no_round_was_kept_the_page_says_so(tmp_path):
    folder = add_evolution(make_run(tmp_path / "r", n=30), rolled_back=(1, 2, 3), delivered=0)
    text = words(build_page(folder).read_text(encoding="utf-8"))
    assert "No round was kept: the initial model is delivered, with an AUROC of 0.842." in text
    assert "The initial model is the one that is delivered." in text


def test_rollbacks_of_the_other_methods_are_listed(own):
    def change(content):
        content["methods"][3]["rounds"][2]["accepted"] = False

    assert told(changed(own, change))["others_back"] == ["Mean Teacher (round 2)"]


@pytest.mark.parametrize(
    ("section", "words_"),
    [("test", None), ("validation", "which also decided what rounds were kept"),
     ("labeled", "which are films of the training"),
     ("unlabeled_2", "which are films of the training")],
)  # fmt: skip
def test_films_that_training_has_seen_are_named(own, section, words_):
    assert told(changed(own, lambda c: c.update(section=section)))["seen_for"] == words_


def test_an_evaluation_of_other_weights_is_not_shown(own):
    path = own / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_sha256": "a" * 64}))
    changed(own, lambda content: content.update(model_sha256="b" * 64))
    text = words(build_page(own).read_text(encoding="utf-8"))
    assert "is of other weights than that of the page, and is not shown" in text
    assert "0.903" not in text
    assert "Which rounds were kept" in text


def test_rounds_that_nobody_evaluated_are_told_as_far_as_they_are_known(own):
    (own / "evolution.json").unlink()
    text = words(build_page(own).read_text(encoding="utf-8"))
    assert "the rounds were not evaluated" in text
    assert "Round 2 was rolled back" in text
    assert "What a round has changed" not in text


@pytest.mark.parametrize("content", ["{", "[1]", '{"methods": 3}'])
@pytest.mark.parametrize("name", ["evolution.json", "rounds.json"])
def test_a_broken_file_costs_no_other_section(own, name, content):
    (own / name).write_text(content)
    text = words(build_page(own).read_text(encoding="utf-8"))
    assert "images 30" in text
    assert "must not be used to diagnose" in text


def test_a_broken_health_file_costs_its_curves_alone(own):
    (own / "health.csv").write_text("nothing\n1\n")
    assert told(own)["health"] is None
    assert told(own)["plot"] is not None


def test_no_name_and_no_id_gets_in(page, run):
    assert NAME not in page
    assert NAME.encode() in (run / "pictures" / "rounds" / "change_01.png").read_bytes()
    read = read_evolution(read_run(run))
    assert len(read.pictures) == 8
    assert all(NAME.encode() not in content for content in read.pictures.values())


def test_a_text_of_the_gate_is_no_markup(own):
    def change(content):
        content["methods"][0]["rounds"][2]["reason"] = "<script>alert(1)</script>"

    assert "<script>" not in build_page(changed(own, change)).read_text(encoding="utf-8")


def test_pictures_stand_above_the_probability_of_each_round(page):
    text = words(page)
    assert "normal is present; the model came nearer to the truth." in text
    assert "normal is absent; the model came further from the truth." in text
    assert "film initial 0.21 round 1 0.44 round 2 0.52 empty map round 3 0.83" in text
    assert page.count("What each head of the last layer attends to") == 4


def test_the_page_stays_small_however_large_the_pictures_are(own):
    noise = np.random.default_rng(0).integers(0, 256, (800, 1600, 3), dtype=np.uint8)
    for path in (own / "pictures" / "rounds").glob("*.png"):
        Image.fromarray(noise).save(path, compress_level=0)
    assert sum(map(len, read_evolution(read_run(own)).pictures.values())) <= 600_000


def size_of(png):
    return Image.open(io.BytesIO(png)).size


def test_plots_are_drawn_of_what_is_there():
    cell = {"value": 0.8, "ci": None}
    assert size_of(auroc_by_round_png({"a": [cell, None], "$b$": [None, cell]}, rounds=["0", "1"]))
    lonely = {"round_1": {"iteration": [20.0], "agreement": [float("nan")]}}
    assert size_of(health_png(lonely))
    mixed = {
        "initial": {"iteration": [1.0, 2.0], "positive_a": [0.1, 0.2]},
        "round_1": {"iteration": [1.0], "information": [0.7], "effective_rank": [12.0]},
    }
    assert size_of(health_png(mixed)) == size_of(health_png(lonely))
