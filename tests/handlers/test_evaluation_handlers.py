# SPDX-License-Identifier: Apache-2.0
"""From a batch's answer to the files of an evaluation."""

import csv
import hashlib
import json
import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image
from torch import nn

from monai_kd.handlers import (
    ClassificationMetrics,
    CollectPredictions,
    DecisionRegions,
    EvaluationJSON,
    HeatMaps,
    PredictionsCSV,
    probabilities,
    save_png,
)


def batch(*index, **more):
    """Films whose label is 1 for odd numbers; ids are letters."""
    label = torch.eye(2)[[number % 2 for number in index]]
    return {
        "index": torch.tensor(index),
        "id": ["abcdefgh"[n] for n in index],
        "label": label,
    } | more


def evaluate(batches, *handlers, answer=None):
    """Run an evaluator whose network always knows the label, unless told what it answers."""

    def step(engine, batch):
        pred = 4 * batch["label"].nan_to_num() if answer is None else answer(batch)
        return {"pred": pred, "image": batch.get("image")}

    engine = Engine(step)
    for handler in handlers:
        handler.attach(engine)
    engine.run(batches)
    return engine.state


def test_softmax_and_sigmoid_are_torchs_own():
    logits = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    torch.testing.assert_close(probabilities(logits, "softmax"), logits.softmax(1))
    torch.testing.assert_close(
        probabilities(logits.half(), "sigmoid"), logits.sigmoid(), atol=1e-3, rtol=0
    )
    with pytest.raises(ValueError, match="`activation` must be one of softmax, sigmoid"):
        probabilities(logits, "relu")


def test_every_film_counts_once_in_the_order_of_the_section():
    state = evaluate([batch(3, 1), batch(0, 2), batch(1)], CollectPredictions(activation="softmax"))
    assert state.predictions["index"].tolist() == [0, 1, 2, 3]
    assert state.predictions["id"] == ["a", "b", "c", "d"]
    assert state.predictions["prob"].argmax(1).tolist() == [0, 1, 0, 1]


def test_a_second_run_forgets_the_first():
    collect = CollectPredictions(activation="softmax")
    evaluate([batch(0)], collect)
    assert len(evaluate([batch(1)], collect).predictions["index"]) == 1


def test_the_csv_says_what_is_known(tmp_path):
    unknown = batch(2) | {"label": torch.full((1, 2), math.nan)}
    path = tmp_path / "predictions.csv"
    evaluate(
        [batch(0, 1), unknown],
        CollectPredictions(activation="softmax"),
        PredictionsCSV(path, findings=["no", "yes"]),
    )
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert [row["label_yes"] for row in rows] == ["0", "1", ""]
    assert float(rows[1]["prob_yes"]) == pytest.approx(1 / (1 + math.exp(-4)), abs=1e-6)


def test_a_film_that_could_not_be_read_has_a_problem_and_no_probability(tmp_path):
    path = tmp_path / "predictions.csv"
    films = batch(0, 1, problem=["", "the file is damaged"])
    del films["label"]
    evaluate(
        [films],
        CollectPredictions(activation="softmax"),
        PredictionsCSV(path, findings=["no", "yes"]),
        answer=lambda batch: torch.zeros(2, 2),
    )
    with path.open() as file:
        good, bad = csv.DictReader(file)
    assert (good["prob_yes"], good["problem"]) == ("0.500000", "")
    assert (bad["prob_yes"], bad["problem"]) == ("", "the file is damaged")


def test_a_table_of_an_earlier_evaluation_does_not_outlive_a_crash(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("id,prob_no,prob_yes\nold,0.5,0.5\n")

    def crash(batch):
        raise RuntimeError("power cut")

    handlers = [
        CollectPredictions(activation="softmax"),
        PredictionsCSV(path, findings=["no", "yes"]),
    ]
    with pytest.raises(RuntimeError, match="power cut"):
        evaluate([batch(0)], *handlers, answer=crash)
    assert not path.exists()
    evaluate([batch(0)], *handlers)
    assert path.read_text().splitlines()[1].startswith("a,")


def metrics():
    return [
        CollectPredictions(activation="softmax"),
        ClassificationMetrics(["no", "yes"], activation="softmax"),
    ]


def test_metrics_are_set_for_the_best_epoch_to_read():
    state = evaluate([batch(0, 1), batch(2, 3)], *metrics())
    assert state.metrics["val_accuracy"] == 1
    assert state.metrics["val_macro_auroc"] == 1
    assert state.metrics["val_cross_entropy"] == pytest.approx(math.log(1 + math.exp(-4)), rel=1e-5)
    assert state.summary["n"] == 4


def test_what_the_data_cannot_give_is_nan():
    state = evaluate([batch(0, 2)], *metrics())
    assert math.isnan(state.metrics["val_macro_auroc"])
    assert state.metrics["val_accuracy"] == 1


def test_a_diverged_network_scores_nan_and_is_said(caplog):
    state = evaluate([batch(0, 1)], *metrics(), answer=lambda b: torch.full((2, 2), math.nan))
    assert all(math.isnan(value) for value in state.metrics.values())
    assert "not numbers" in caplog.text


def test_films_that_could_not_be_read_are_counted_and_not_scored():
    films = batch(0, 1, 2, 3, problem=["", "", "damaged", ""])
    plain = evaluate([batch(0, 1, 3)], *metrics())
    state = evaluate([films], *metrics())
    assert state.summary == plain.summary | {"unreadable": 1}
    assert state.metrics == plain.metrics
    assert len(state.predictions["prob"]) == 4  # the table names them all


def test_a_readable_film_without_a_number_still_means_that_the_network_diverged(caplog):
    films = batch(0, 1, 2, problem=["", "", "damaged"])
    answer = torch.tensor([[0.0, 1.0], [math.nan, 0.0], [0.0, 0.0]])
    assert evaluate([films], *metrics(), answer=lambda _: answer).summary == {}
    assert "not numbers" in caplog.text


def test_when_no_film_could_be_read_nothing_is_said(caplog):
    state = evaluate([batch(0, 1, problem=["damaged", "damaged"])], *metrics())
    assert state.summary == {}
    assert math.isnan(state.metrics["val_macro_auroc"])
    assert "None of the films could be read" in caplog.text


def test_the_evaluation_knows_its_tables(tmp_path):
    predictions = PredictionsCSV(tmp_path / "predictions.csv", findings=["no", "yes"])
    (tmp_path / "lesions.csv").write_text("id\n")
    path = tmp_path / "evaluation.json"
    evaluate([batch(0, 1)], *metrics(), predictions, EvaluationJSON(path, section="test"))
    assert json.loads(path.read_text())["files"] == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("predictions.csv", "lesions.csv")
    }
    (tmp_path / "lesions.csv").unlink()
    evaluate([batch(0, 1)], *metrics(), EvaluationJSON(path, section="test"))
    assert list(json.loads(path.read_text())["files"]) == ["predictions.csv"]


def test_sections_are_added_and_replaced(tmp_path):
    path = tmp_path / "evaluation.json"
    for section, films in (("validation", batch(0, 1)), ("test", batch(0, 1, 2, 3))):
        writer = EvaluationJSON(path, section=section, extra={"teacher": None, "kept": 1})
        evaluate([films], *metrics(), writer)
    content = json.loads(path.read_text())
    assert {name: summary["n"] for name, summary in content["sections"].items()} == {
        "validation": 2,
        "test": 4,
    }
    assert content["kept"] == 1
    assert "teacher" not in content


def test_sections_of_another_model_are_dropped(tmp_path):
    path = tmp_path / "evaluation.json"
    for section, model in (("validation", "one"), ("test", "other")):
        writer = EvaluationJSON(path, section=section, extra={"model_sha256": model})
        evaluate([batch(0, 1)], *metrics(), writer)
    content = json.loads(path.read_text())
    assert list(content["sections"]) == ["test"]
    assert content["predictions_of"] == "test"


class LooksLeft(nn.Module):
    """One feature per half; finding 1 speaks from the left half alone."""

    def forward_features(self, image):
        halves = torch.zeros(len(image), 2, 1, 2)
        halves[:, 0, :, 0] = image[:, :, :, :4].mean(dim=(1, 2, 3))[:, None]
        halves[:, 1, :, 1] = image[:, :, :, 4:].mean(dim=(1, 2, 3))[:, None]
        return halves

    def forward_head(self, features):
        left = features[:, 0].mean(dim=(1, 2))
        return torch.stack([-left, left], dim=1)


def marked(region_columns, **more):
    mask = torch.zeros(2, 2, 8, 8)
    mask[:, 1, :, region_columns] = 1
    films = batch(0, 1, image=torch.ones(2, 1, 8, 8), region_mask=mask)
    return films | {"region_annotated": torch.ones(2, 2, dtype=torch.bool)} | more


@pytest.mark.parametrize(
    ("columns", "inside"),
    [pytest.param(slice(0, 4), "most", id="left"), pytest.param(slice(4, 8), "little", id="right")],
)
def test_the_map_is_held_against_the_region(tmp_path, columns, inside):
    regions = DecisionRegions(LooksLeft(), folder=tmp_path, mean=0, sd=1)
    state = evaluate([marked(columns)], *metrics(), regions)
    result = state.summary["decision_regions"]
    assert result["n"] == 1  # film 0 does not have the finding
    assert result["region_share"] == 0.5
    assert (result["mass_inside"] > 0.7) == (inside == "most")
    assert result["pointing_game"] == (inside == "most")
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["b.png"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"region_annotated": torch.zeros(2, 2, dtype=torch.bool)}, id="nobody drew"),
        pytest.param({"region_mask": torch.zeros(2, 2, 8, 8)}, id="nothing drawn"),
        pytest.param({"label": torch.eye(2)[[0, 0]]}, id="finding absent"),
    ],
)
def test_only_marked_findings_that_are_present_count(tmp_path, change):
    regions = DecisionRegions(LooksLeft(), folder=tmp_path)
    state = evaluate([marked(slice(0, 4), **change)], *metrics(), regions)
    assert "decision_regions" not in state.summary


def test_heat_maps_are_named_by_id_and_finding(tmp_path):
    maps = HeatMaps(LooksLeft(), folder=tmp_path, findings=["no", "yes"], mean=0, sd=1)
    films = marked(slice(0, 4), problem=["", "damaged"])
    evaluate([films], maps)
    assert [path.name for path in tmp_path.iterdir()] == ["a_no.png"]


def test_a_png_is_what_was_given(tmp_path):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    save_png(picture, tmp_path / "deep" / "picture.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "picture.png")), picture)
