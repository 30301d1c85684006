# SPDX-License-Identifier: Apache-2.0
"""A model at another site: the drop, its interval, and what may be wrong with the films."""

import csv
import json
import logging
import math
import re

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from sklearn.metrics import roc_auc_score

from monai_kd.data import write_film_histogram
from monai_kd.handlers import ClassificationMetrics, ExternalTest
from monai_kd.metrics import score_drop, score_interval

FINDINGS = ["opacity", "effusion"]
AT_HOME, ELSEWHERE = "1" * 64, "2" * 64


def answers(*, skill=2.0, n=200, seed=0):
    rng = np.random.default_rng(seed)
    label = (rng.random((n, 2)) < 0.4).astype(float)
    return 1 / (1 + np.exp(-rng.normal(size=(n, 2)) - skill * label)), label


def patients(label):
    return [f"p{number // 2}" for number in range(len(label))]


def write_predictions(path, prob, label):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        head = [f"{kind}_{name}" for kind in ("label", "prob") for name in FINDINGS]
        writer.writerow(["id", "patient_id", *head])
        for number, (who, truth, said) in enumerate(zip(patients(label), label, prob, strict=True)):
            writer.writerow([number, who, *(int(value) for value in truth), *said.tolist()])


def write_evaluation(folder, *, summary=None, section="test", model="one"):
    content = {
        "model_sha256": model,
        "predictions_of": section,
        "sections": {section: summary or {}},
    }
    (folder / "evaluation.json").write_text(json.dumps(content))


@pytest.fixture
def home(tmp_path):
    """A run that was evaluated on its own test section."""
    (tmp_path / "config.json").write_text(json.dumps({"sha256": AT_HOME}))
    write_evaluation(tmp_path)
    write_predictions(tmp_path / "predictions.csv", *answers(skill=2.5))
    return tmp_path


def evaluate(folder, prob, label, *, sha256=ELSEWHERE, before=None, more=None, **settings):
    def collect(engine):
        engine.state.predictions = {
            "prob": torch.tensor(prob),
            "label": torch.tensor(label),
            "patient_id": patients(label),
        } | (more or {})

    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events.EPOCH_COMPLETED, collect)
    ClassificationMetrics(FINDINGS, activation="sigmoid").attach(engine)
    if before is not None:
        engine.add_event_handler(Events.EPOCH_STARTED, before)
    handler = ExternalTest(
        folder, findings=FINDINGS, activation="sigmoid", datalist_sha256=sha256, **settings
    )
    handler.attach(engine)
    engine.run([0])
    return engine.state.summary


def test_the_drop_is_that_of_the_two_evaluations(home):
    prob, label = answers(skill=1.0, seed=1)
    external = evaluate(home, prob, label)["external"]
    own, truth = answers(skill=2.5)
    assert external["internal_auroc"] == pytest.approx(roc_auc_score(truth, own), abs=1e-9)
    assert external["auroc"] == pytest.approx(roc_auc_score(label, prob), abs=1e-9)
    assert external["drop"] == external["internal_auroc"] - external["auroc"]
    oracle = score_drop(
        "macro_auroc", (own, truth, patients(truth)), (prob, label, patients(label)),
        activation="sigmoid",
    )  # fmt: skip
    assert external["drop_ci"] == pytest.approx([oracle.low, oracle.high], abs=1e-9)
    assert external["p_value"] == pytest.approx(oracle.p_value, rel=1e-6)
    assert (external["verdict"], external["internal_section"]) == ("drop shown", "test")
    here = score_interval(
        "macro_auroc", prob, label, activation="sigmoid", patient_id=patients(label)
    )
    assert external["auroc_ci"] == pytest.approx([here.low, here.high], abs=1e-9)
    json.dumps(external, allow_nan=False)


def test_a_film_that_could_not_be_read_is_as_if_it_were_not_there(home):
    prob, label = answers(skill=1.0, seed=1)
    without = evaluate(home, prob[:-1], label[:-1])["external"]
    prob[-1] = np.nan
    problem = {"problem": [""] * (len(prob) - 1) + ["damaged"]}
    assert evaluate(home, prob, label, more=problem)["external"] == without


def test_each_finding_has_its_own_drop(home):
    prob, label = answers(skill=2.5, seed=1)
    prob[:, 1] = np.random.default_rng(0).random(len(prob))
    found = evaluate(home, prob, label)["external"]["per_finding"]
    assert found["opacity"]["verdict"] == "not shown"
    assert found["effusion"]["verdict"] == "drop shown"
    own, truth = answers(skill=2.5)
    oracle = roc_auc_score(truth[:, 1], own[:, 1]) - roc_auc_score(label[:, 1], prob[:, 1])
    assert found["effusion"]["drop"] == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize(
    ("skill", "said"),
    [
        pytest.param(
            0.5, r"AUROC 0\.6\d, 0\.3\d lower than at home \(95% CI 0\.\d\d to 0\.\d\d\)$"
        ),
        pytest.param(5.0, r"AUROC 1\.00, 0\.0\d higher than at home \(95% CI 0\.0\d to 0\.\d\d\)$"),
        pytest.param(2.5, r"a difference is not shown$"),
    ],
)
def test_the_headline_says_the_drop(home, caplog, skill, said):
    caplog.set_level(logging.INFO, logger="monai_kd")
    evaluate(home, *answers(skill=skill, seed=1))
    (line,) = [entry for entry in caplog.messages if entry.startswith("external: AUROC")]
    assert re.search(said, line), line


@pytest.mark.parametrize("remembered", [{"sha256": ELSEWHERE}, {}])
def test_the_own_datalist_and_an_unknown_one_are_not_compared(home, remembered):
    (home / "config.json").write_text(json.dumps(remembered))
    assert "external" not in evaluate(home, *answers())


def test_the_own_evaluation_is_read_before_it_is_replaced(home):
    prob, label = answers(skill=0.5, seed=1)

    def replace():
        write_predictions(home / "predictions.csv", prob, label)

    assert evaluate(home, prob, label, before=replace)["external"]["drop"] > 0.1


@pytest.mark.parametrize(
    "evaluation",
    [
        pytest.param({"summary": {"external": {}}}, id="of another site"),
        pytest.param({"section": "labeled"}, id="of the films that were trained on"),
        pytest.param({"model": "other"}, id="of another model"),
    ],
)
def test_predictions_that_do_not_say_how_good_the_model_is_at_home_are_left_aside(
    home, caplog, evaluation
):
    caplog.set_level(logging.INFO, logger="monai_kd")
    write_evaluation(home, **evaluation)
    prob, label = answers(skill=1.0, seed=1)
    write_predictions(home / "validation_predictions.csv", *answers(skill=3.5, seed=2))
    external = evaluate(home, prob, label, model_sha256="one")["external"]
    own, truth = answers(skill=3.5, seed=2)
    assert external["internal_auroc"] == pytest.approx(roc_auc_score(truth, own), abs=1e-9)
    assert external["internal_section"] == "validation"
    assert "at home is the validation section, which chose the epoch" in caplog.text


def test_without_an_own_evaluation_it_is_said_what_to_do(home, caplog):
    (home / "predictions.csv").unlink()
    prob, label = answers()
    external = evaluate(home, prob, label)["external"]
    assert "Evaluate the model on its own datalist first" in caplog.text
    assert external["drop"] is None
    assert external["auroc"] == pytest.approx(roc_auc_score(label, prob), abs=1e-9)
    json.dumps(external, allow_nan=False)


def test_other_findings_at_home_are_nothing_to_compare_with(home):
    text = (home / "predictions.csv").read_text().replace("effusion", "nodule")
    (home / "predictions.csv").write_text(text)
    assert evaluate(home, *answers())["external"]["internal_auroc"] is None


def test_one_class_only_gives_no_drop(home):
    prob, _ = answers()
    external = evaluate(home, prob, np.ones_like(prob))["external"]
    assert (external["auroc"], external["drop"], external["drop_ci"]) == (None, None, None)
    assert external["hints"] == []


def films(count, *, seed, inverted=False):
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:32, :32] / 32 - 0.5
    body = np.exp(-(row**2 + column**2) * 5)
    made = [
        0.9 * body * rng.uniform(0.6, 1) + rng.uniform(0.03, 0.1, body.shape) for _ in range(count)
    ]
    return [{"image": (1 - film if inverted else film)[None]} for film in made]


def test_inverted_films_and_labels_the_other_way_round_are_hinted_at(home, caplog):
    write_film_histogram(films(30, seed=0), home)
    prob, label = answers(skill=2.0, seed=1)
    external = evaluate(home, 1 - prob, label, films=films(30, seed=1, inverted=True))["external"]
    below, inverted = external["hints"]
    assert "is below 0.5, worse than guessing" in below
    assert "the gray scale is inverted" in inverted
    assert external["histogram"]["negatives"] == 1
    assert external["histogram"]["inverted_distance"] < external["histogram"]["distance"]
    assert caplog.text.count("external: ") == 2


@pytest.mark.parametrize("remembered", [True, False])
def test_good_films_and_films_that_cannot_be_compared_give_no_hint(home, remembered):
    if remembered:
        write_film_histogram(films(30, seed=0), home)
    external = evaluate(home, *answers(seed=1), films=films(30, seed=1))["external"]
    assert external["hints"] == []
    assert (external["histogram"] is not None) == remembered


def test_a_diverged_network_is_not_compared(home):
    prob, label = answers()
    assert evaluate(home, np.full_like(prob, math.nan), label) == {}
