# SPDX-License-Identifier: Apache-2.0
"""Every round's model answers for the same films; what is said of them is right and harmless."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image
from sklearn.metrics import roc_auc_score

from monai_kd.engines.rounds_evidence import evaluate_rounds
from monai_kd.engines.rounds_files import read_rounds
from monai_kd.engines.rounds_numbers import gap_closed
from monai_kd.engines.rounds_pictures import changed_films
from monai_kd.metrics import Predictions, read_predictions, score_difference
from monai_kd.networks import build_backbone
from monai_kd.utils import MonaiKDError
from tests.engines.rounds_run import (
    SeesBrightness,
    evaluator_of,
    films,
    table,
    write_rounds,
)

GAINS = (-0.4, 0.3, 1.0)


def asked(network, items, run, out=None, **settings):
    out = out or run
    given = {"pictures": 4, "mean": 0.0, "sd": 1.0} | settings
    return evaluate_rounds(
        evaluator_of(network, items), network, table=table(out), model_dir=run, output_dir=out,
        findings=["spot"], activation="sigmoid", section="test", **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    run = write_rounds(tmp_path_factory.mktemp("run"), [SeesBrightness(g) for g in GAINS])
    write_rounds(run / "comparators" / "supervised", [SeesBrightness(-0.4)], method="supervised")
    best = [SeesBrightness(-0.4), SeesBrightness(0.2), SeesBrightness(2.0)]
    write_rounds(run / "comparators" / "supervised_all", best, method="supervised_all")
    network = SeesBrightness(7.0)
    told = asked(network, films(), run)
    return run, told, network


def brightness(items):
    return np.array([float(item["image"].mean()) for item in items])


def test_the_auroc_of_each_round_is_that_of_sklearn(evaluated):
    _, told, _ = evaluated
    truth = [int(item["label"][0]) for item in films()]
    for entry, gain in zip(told["methods"][0]["rounds"], GAINS, strict=True):
        expected = roc_auc_score(truth, gain * brightness(films()))
        assert entry["student"]["value"] == pytest.approx(expected, abs=1e-6)
        assert entry["teacher"] == entry["student"]
        assert entry["student"]["ci"][0] < expected < entry["student"]["ci"][1]


def test_each_model_has_a_table_in_the_format_of_predictions(evaluated):
    run, _, _ = evaluated
    names = sorted(path.name for path in (run / "rounds").iterdir())
    own = [f"distl_{f}_{w}.csv" for f in ("initial", "round_1", "round_2")
           for w in ("student", "teacher")]  # fmt: skip
    assert [name for name in names if name.startswith("distl_")] == own
    assert "supervised_all_round_2_student.csv" in names
    read = read_predictions(run / "rounds" / "distl_round_2_student.csv")
    expected = torch.sigmoid(torch.tensor(brightness(films())))
    assert read.findings == ["spot"]
    assert np.allclose(read.prob[:, 0], expected, atol=2e-6)


def test_differences_are_paired_and_by_patient(evaluated):
    run, told, _ = evaluated
    first, last = (
        read_predictions(run / "rounds" / f"distl_{name}_student.csv")
        for name in ("initial", "round_2")
    )
    expected = score_difference("macro_auroc", last.prob, first.prob, last.label,
                                activation="sigmoid", patient_id=last.patient_id)  # fmt: skip
    found = told["methods"][0]["rounds"][2]["against_initial"]
    assert [found["value"], *found["ci"]] == pytest.approx(list(expected[:3]))
    assert found["verdict"] == "gain shown"
    # gains of one sign order the films alike
    assert told["methods"][0]["rounds"][2]["against_before"]["value"] == 0
    assert told["methods"][0]["rounds"][2]["against_before"]["verdict"] == "not shown"


def test_a_comparator_is_taken_at_the_same_round_or_at_its_last_before(evaluated):
    _, told, _ = evaluated
    against = told["methods"][0]["rounds"][2]["against"]
    assert {name: one["round"] for name, one in against.items()} == {
        "supervised": 0, "supervised_all": 2,
    }  # fmt: skip
    assert against["supervised"]["value"] > 0
    assert against["supervised_all"]["value"] == 0
    assert "against" not in told["methods"][1]["rounds"][0]


def test_the_share_of_the_gap_to_all_labels_is_said(evaluated):
    _, told, _ = evaluated
    closed = told["methods"][0]["rounds"][2]["gap_closed"]
    assert closed["value"] == pytest.approx(1.0)
    assert closed["ci"] == pytest.approx([1.0, 1.0], abs=1e-6)
    assert told["upper_bound"] == "supervised_all"
    assert "gap_closed" not in told["methods"][0]["rounds"][0]


def test_the_network_gets_its_own_weights_back(evaluated):
    assert float(evaluated[2].gain.detach()) == 7.0


def test_also_after_a_failure(tmp_path):
    run = write_rounds(tmp_path, [SeesBrightness(1.0), SeesBrightness(2.0)])
    torch.save({"other": torch.ones(1)}, run / "round_1" / "model.pt")
    network = SeesBrightness(7.0)
    with pytest.raises(MonaiKDError, match="the model file does not fit"):
        asked(network, films(), run)
    assert float(network.gain.detach()) == 7.0
    assert not (run / "evolution.json").exists()


def test_what_is_returned_is_what_is_written(evaluated):
    run, told, _ = evaluated
    assert json.loads((run / "evolution.json").read_text()) == told
    assert "NaN" not in (run / "evolution.json").read_text()


def test_equal_weights_are_asked_once(tmp_path):
    run = write_rounds(tmp_path, [SeesBrightness(1.0), SeesBrightness(2.0)])
    write_rounds(run / "comparators" / "supervised", [SeesBrightness(1.0)], method="supervised")
    network = SeesBrightness()
    evaluator, runs = evaluator_of(network, films()), []
    evaluator.add_event_handler(Events.STARTED, lambda _: runs.append(1))
    evaluate_rounds(
        evaluator, network, table=table(run), model_dir=run, output_dir=run, findings=["spot"],
        activation="sigmoid", section="test", pictures=0,
    )  # fmt: skip
    assert len(runs) == 2


def test_a_training_without_rounds_leaves_nothing(tmp_path):
    assert asked(SeesBrightness(), films(), tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"rounds": [], "delivered": 0, "method": "distl"}',
     '{"rounds": [{"round": "one", "folder": "a"}], "delivered": 0, "method": "distl"}',
     '{"rounds": [{"round": 0}], "delivered": 0, "method": "distl"}'],
)  # fmt: skip
def test_a_rounds_json_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "rounds.json").write_text(content)
    with pytest.raises(MonaiKDError, match=r"rounds\.json must name the method"):
        read_rounds(tmp_path)


def test_a_delivered_teacher_is_what_is_compared(tmp_path):
    run = write_rounds(tmp_path, [SeesBrightness(-0.4), SeesBrightness(-0.3)])
    torch.save(SeesBrightness(1.0).state_dict(), run / "round_1" / "teacher.pt")
    (run / "model.pt").write_bytes((run / "round_1" / "teacher.pt").read_bytes())
    assert read_rounds(run)[0].network == "teacher"
    told = asked(SeesBrightness(), films(), run, pictures=0)["methods"][0]
    assert told["network"] == "teacher"
    assert told["rounds"][1]["against_initial"]["value"] > 0


def test_after_a_rollback_the_next_round_is_compared_with_the_model_it_started_from(tmp_path):
    gains = (0.5, -1.0, 1.0)
    run = write_rounds(tmp_path, [SeesBrightness(g) for g in gains], rejected=(1,))
    rounds = asked(SeesBrightness(), films(), run, pictures=0)["methods"][0]["rounds"]
    assert rounds[1]["against_before"]["value"] < 0
    assert rounds[2]["against_before"]["round"] == 0
    assert rounds[2]["against_before"]["value"] == 0


def test_a_diverged_round_costs_its_own_numbers_alone(tmp_path, caplog):
    run = write_rounds(tmp_path, [SeesBrightness(g) for g in (-0.4, math.nan, 1.0)])
    rounds = asked(SeesBrightness(), films(), run)["methods"][0]["rounds"]
    assert rounds[1]["student"] is None
    assert rounds[1]["against_initial"] is None
    assert rounds[2]["against_initial"]["value"] > 0
    assert "the model has diverged" in caplog.text


def test_films_that_could_not_be_read_do_not_count(tmp_path):
    items = films()
    for number, item in enumerate(items):
        item["problem"] = "damaged" if number in (3, 8) else ""
    run = write_rounds(tmp_path, [SeesBrightness(g) for g in (-0.4, 1.0)])
    told = asked(SeesBrightness(), items, run)
    assert told["films"] == 22
    assert told["patients"] == 12


def test_an_evaluation_elsewhere_writes_nothing_into_the_run(evaluated, tmp_path):
    run, _, _ = evaluated
    before = sorted(path for path in run.rglob("*") if path.is_file())
    asked(SeesBrightness(), films(seed=1), run, tmp_path / "out")
    assert sorted(path for path in run.rglob("*") if path.is_file()) == before
    assert (tmp_path / "out" / "evolution.json").exists()


# The films that changed


def said(prob, label):
    prob, label = (
        np.atleast_2d(np.array(prob, float).T).T,
        np.atleast_2d(np.array(label, float).T).T,
    )
    return Predictions(["a", "b"][: prob.shape[1]], [f"k{i}" for i in range(len(prob))], None,
                       label, prob)  # fmt: skip


def test_the_largest_changes_are_chosen_half_for_the_better_half_for_the_worse():
    label = [1, 1, 0, 0, 1, np.nan]
    before = said([0.1, 0.5, 0.5, 0.2, 0.6, 0.0], label)
    after = said([0.9, 0.7, 0.4, 0.9, 0.5, 1.0], label)
    chosen = changed_films(before, after, films=2, activation="sigmoid")
    assert [(film.key, film.is_better) for film in chosen] == [("k0", True), ("k3", False)]
    assert [f.key for f in changed_films(before, after, films=4, activation="sigmoid")] == [
        "k0", "k1", "k3", "k4",
    ]  # fmt: skip
    every = changed_films(before, after, films=9, activation="sigmoid")
    assert {film.key for film in every} == {"k0", "k1", "k2", "k3", "k4"}  # k5 has no label
    assert len(changed_films(before, after, films=3, activation="sigmoid")) == 3


def test_where_all_have_become_better_there_are_no_worse_ones():
    before, after = said([0.1, 0.2, 0.3], [1, 1, 1]), said([0.9, 0.8, 0.4], [1, 1, 1])
    chosen = changed_films(before, after, films=2, activation="sigmoid")
    assert [film.key for film in chosen] == ["k0", "k1"]


def test_among_findings_that_exclude_each_other_the_true_one_is_asked_for():
    label = [[1, 0], [0, 1]]
    before, after = said([[0.6, 0.4], [0.5, 0.5]], label), said([[0.1, 0.9], [0.4, 0.6]], label)
    chosen = changed_films(before, after, films=2, activation="softmax")
    assert [(film.column, film.is_better) for film in chosen] == [(1, True), (0, False)]


def test_pictures_are_film_and_one_map_for_each_round_without_any_name(evaluated):
    run, told, _ = evaluated
    drawn = told["pictures"]
    assert len(drawn) == 4
    assert {one["better"] for one in drawn} == {True, False} or all(one["better"] for one in drawn)
    for number, one in enumerate(drawn, 1):
        assert one["picture"] == f"change_{number:02d}"
        assert one["columns"] == [0, 1, 2]
        assert one["heads"] is None
        picture = Image.open(run / "pictures" / "rounds" / f"{one['picture']}.png")
        assert picture.width == 4 * picture.height + 3 * 4
        assert picture.info == {}
    assert len(list((run / "pictures" / "rounds").iterdir())) == 4
    text = json.dumps(told)
    assert not any(item["id"] in text or f'"{item["patient_id"]}"' in text for item in films())


def test_the_probabilities_beside_a_picture_are_those_of_the_rounds(evaluated):
    run, told, _ = evaluated
    one = told["pictures"][0]
    tables = [read_predictions(run / "rounds" / f"distl_{name}_student.csv").prob[:, 0]
              for name in ("initial", "round_1", "round_2")]  # fmt: skip
    assert one["finding"] == "spot"
    assert any(np.allclose(one["prob"], row) for row in np.stack(tables, 1))
    change = abs(tables[2] - tables[0])
    assert abs(one["prob"][2] - one["prob"][0]) >= np.sort(change)[-len(told["pictures"])] - 1e-9


def test_pictures_of_an_earlier_evaluation_go(tmp_path):
    run = write_rounds(tmp_path, [SeesBrightness(g) for g in (-0.4, 1.0)])
    folder = run / "pictures" / "rounds"
    folder.mkdir(parents=True)
    for name in ("change_09.png", "mine.png"):
        (folder / name).write_bytes(b"")
    asked(SeesBrightness(), films(), run, pictures=2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "change_01.png", "change_02.png", "mine.png",
    ]  # fmt: skip


def test_when_no_round_was_accepted_the_last_one_is_shown(tmp_path):
    run = write_rounds(tmp_path, [SeesBrightness(g) for g in (0.5, -1.0)], rejected=(1,))
    told = asked(SeesBrightness(), films(), run, pictures=2)
    assert told["methods"][0]["delivered"] == 0
    assert len(told["pictures"]) == 2


def test_a_transformer_shows_the_heads_of_its_last_layer(tmp_path):
    torch.manual_seed(0)
    models = [build_backbone("vit_mini_patch8", num_findings=1) for _ in range(2)]
    run = write_rounds(tmp_path, models, teacher=False)
    told = asked(build_backbone("vit_mini_patch8", num_findings=1), films(8), run, pictures=1)
    (one,) = told["pictures"]
    assert one["method"] == "relevance"
    assert one["heads"] == "change_01_heads"
    picture = Image.open(run / "pictures" / "rounds" / "change_01_heads.png")
    assert picture.width == 4 * picture.height + 3 * 4  # the film and three heads
    assert told["methods"][0]["rounds"][0]["teacher"] is None


# The share of the gap


def three_models(seed=0, count=300, skills=(0.5, 1.2, 1.6)):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    noise = rng.normal(size=count)
    for skill in skills:
        logits = skill * label + noise + 0.3 * rng.normal(size=count)
        yield said(1 / (1 + np.exp(-logits)), label)


def test_the_interval_of_the_share_is_about_that_of_a_bootstrap():
    start, reached, top = three_models()
    found = gap_closed(start, reached, top, activation="sigmoid")
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(1500):
        rows = rng.integers(0, 300, 300)
        label = start.label[rows, 0]
        a, b, c = (roc_auc_score(label, m.prob[rows, 0]) for m in (start, reached, top))
        shares.append((b - a) / (c - a))
    assert found["value"] == pytest.approx(
        (roc_auc_score(start.label, reached.prob) - roc_auc_score(start.label, start.prob))
        / found["gap"]
    )
    assert found["ci"] == pytest.approx(np.quantile(shares, [0.025, 0.975]).tolist(), abs=0.04)


def test_no_share_is_said_of_a_gap_that_is_not_shown():
    start, reached, top = three_models(count=40, skills=(1.0, 1.2, 1.05))
    found = gap_closed(start, reached, top, activation="sigmoid")
    assert found["value"] is None
    assert found["ci"] is None
    assert found["gap"] is not None


def test_films_of_one_patient_count_together():
    tables = list(three_models(count=100))
    alone = gap_closed(*tables, activation="sigmoid")["ci"]
    doubled = [
        Predictions(t.findings, [f"k{i}" for i in range(200)], [f"p{i % 100}" for i in range(200)],
                    np.tile(t.label, (2, 1)), np.tile(t.prob, (2, 1)))
        for t in tables
    ]  # fmt: skip
    assert gap_closed(*doubled, activation="sigmoid")["ci"] == pytest.approx(alone, abs=1e-3)
