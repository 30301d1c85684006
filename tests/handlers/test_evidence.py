# SPDX-License-Identifier: Apache-2.0
"""Calibration, operating points and subgroups of an evaluation, chosen on validation."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from monai_kd.handlers import ClassificationMetrics, CollectPredictions, Evidence, PredictionsCSV
from monai_kd.metrics import choose_threshold, fit_temperature, operating_point, read_predictions
from monai_kd.utils import MonaiKDError

FINDINGS = ["no", "yes"]


def section(n=80, seed=0, first=0):
    """Films with an answer that is right more often than not, and twice as sure as it should be."""
    generator = torch.Generator().manual_seed(seed)
    score = 2 * torch.randn(n, generator=generator)
    sick = torch.rand(n, generator=generator) < (score / 2).sigmoid()
    return {
        "index": torch.arange(n),
        "id": [f"film{first + i}" for i in range(n)],
        "patient_id": [f"patient{(first + i) // 2}" for i in range(n)],
        "sex": ["F" if i % 2 else "M" for i in range(n)],
        "age": torch.arange(20, 20 + n),
        "label": torch.stack([~sick, sick], 1).float(),
        "logits": torch.stack([torch.zeros(n), score], 1),
    }


def evaluate(batch, *handlers):
    engine = Engine(lambda _, batch: {"pred": batch["logits"]})
    for handler in (
        CollectPredictions(activation="softmax"),
        ClassificationMetrics(FINDINGS, activation="softmax"),
        *handlers,
    ):
        handler.attach(engine)
    engine.run([batch])
    return engine.state


def validated(tmp_path, batch=None, findings=FINDINGS):
    path = tmp_path / "validation_predictions.csv"
    batch = section(seed=1, first=1000) if batch is None else batch
    evaluate(batch, PredictionsCSV(path, findings=findings))
    return path


def evidence(path, **changed):
    return Evidence(FINDINGS, **({"activation": "softmax", "validation_csv": path} | changed))


def test_thresholds_and_temperature_come_from_validation_and_are_judged_here(tmp_path):
    path = validated(tmp_path)
    state = evaluate(section(), evidence(path, prevalence=0.1))
    chosen = read_predictions(path)
    row = state.summary["operating_points"][3]
    threshold = choose_threshold(
        chosen.prob[:, 1], chosen.label[:, 1], goal="sensitivity", value=0.95
    )
    expected = operating_point(
        state.predictions["prob"][:, 1].double().numpy().round(6),
        state.predictions["label"][:, 1],
        threshold,
        patient_id=state.predictions["patient_id"],
        prevalence=0.1,
    )
    assert (row["finding"], row["goal"]) == ("yes", "sensitivity 0.95")
    assert {key: row[key] for key in expected} == expected
    assert row["validation"]["sensitivity"] >= 0.95
    temperature = fit_temperature(chosen.prob, chosen.label, activation="softmax")
    assert state.summary["calibration"]["temperature"] == temperature
    assert 1.2 < temperature < 4


def test_the_summary_is_json_and_keeps_what_was_there(tmp_path):
    plain = evaluate(section()).summary
    summary = evaluate(section(), evidence(validated(tmp_path))).summary
    assert {key: summary[key] for key in plain} == plain
    added = {"calibration", "operating_points", "shared_with_validation", "subgroups"}
    assert set(summary) - set(plain) == added
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    groups = {(row["by"], row["group"]) for row in summary["subgroups"]}
    assert {("sex", "F"), ("sex", "M"), ("age", "18 to 39")} <= groups


def test_names_of_patients_and_films_stay_out_of_the_summary(tmp_path):
    text = json.dumps(evaluate(section(), evidence(validated(tmp_path))).summary)
    assert "film" not in text
    assert "patient1" not in text


def test_without_validation_the_log_says_what_to_do(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        summary = evaluate(section(), evidence(tmp_path / "none.csv")).summary
    assert summary["operating_points"] == []
    assert "shared_with_validation" not in summary
    assert summary["calibration"]["temperature"] is None
    assert summary["calibration"]["ece"] > 0
    assert len(summary["subgroups"]) > 2
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "No predictions on validation"
    ]
    assert str(tmp_path) not in caplog.text


def test_films_that_are_judged_where_they_were_chosen_are_told(tmp_path, caplog):
    path = validated(tmp_path, section())
    with caplog.at_level(logging.WARNING):
        summary = evaluate(section(), evidence(path)).summary
    assert summary["shared_with_validation"] == 80
    assert "chosen on 80 of the films that they are judged on" in caplog.text
    caplog.clear()
    summary = evaluate(section(first=500), evidence(path)).summary
    assert summary["shared_with_validation"] == 0
    assert caplog.text == ""
    assert evaluate(section(first=50), evidence(path)).summary["shared_with_validation"] == 30


def test_the_columns_of_validation_are_found_by_name(tmp_path):
    straight = evaluate(section(), evidence(validated(tmp_path))).summary
    other = section(seed=1, first=1000)
    other |= {key: other[key].flip(1) for key in ("label", "logits")}
    path = validated(tmp_path, other, findings=FINDINGS[::-1])
    assert evaluate(section(), evidence(path)).summary == straight


def test_predictions_of_other_findings_are_refused(tmp_path):
    path = validated(tmp_path, findings=["no", "maybe"])
    with pytest.raises(
        MonaiKDError, match=r"`validation_csv` must be of the findings \['no', 'yes'"
    ):
        evaluate(section(), evidence(path))


def test_a_diverged_network_gets_no_evidence(tmp_path):
    batch = section()
    batch["logits"][0, 0] = torch.nan
    assert evaluate(batch, evidence(validated(tmp_path))).summary == {}


def test_a_film_that_could_not_be_read_is_as_if_it_were_not_there(tmp_path):
    path, whole = validated(tmp_path), section()
    rest = {key: values[1:] for key, values in whole.items()}
    whole |= {"problem": ["damaged"] + [""] * 79}
    whole["logits"][0] = torch.nan  # whatever is said of a black image
    with_it, without = (evaluate(batch, evidence(path)).summary for batch in (whole, rest))
    assert with_it == without | {"unreadable": 1}


def test_a_saturated_answer_is_compared_as_the_table_shows_it(tmp_path):
    """0.9999998 stands in the table as 1.000000; a threshold of 1 must still find it."""
    other, here = section(seed=1, first=1000), section()
    for batch in (other, here):
        batch["logits"][:, 1] = torch.where(batch["label"][:, 1] == 1, 15.5, -15.5)
    row = evaluate(here, evidence(validated(tmp_path, other))).summary["operating_points"][3]
    assert row["threshold"] == 1
    assert row["sensitivity"] == row["specificity"] == 1


def test_prevalence_is_a_share_of_findings_that_there_are(tmp_path):
    path = validated(tmp_path)
    state = evaluate(section(), evidence(path, prevalence={"yes": 0.02}))
    shares = {row["finding"]: row["prevalence"] for row in state.summary["operating_points"]}
    assert shares == {"no": None, "yes": 0.02}
    with pytest.raises(ValueError, match=r"`prevalence` must be in \(0, 1\), got 2"):
        evidence(path, prevalence=2)
    with pytest.raises(
        ValueError, match=r"`prevalence` must be of the findings .* got \['other'\]"
    ):
        evidence(path, prevalence={"other": 0.1})


def test_goals_may_be_written_as_in_json(tmp_path):
    goals = [["sensitivity", 0.8], ["youden", None]]
    rows = evaluate(section(), evidence(validated(tmp_path), goals=goals)).summary
    assert [row["goal"] for row in rows["operating_points"]] == ["sensitivity 0.8", "youden"] * 2
    assert np.isfinite([row["threshold"] for row in rows["operating_points"]]).all()
