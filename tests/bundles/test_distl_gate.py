# SPDX-License-Identifier: Apache-2.0
"""A poisoned round is rolled back; what was delivered before stays."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import monai_kd.engines
from monai_kd.engines import Method, StageRunner
from monai_kd.losses import DISTLCorrectionLoss
from monai_kd.utils import TrainingCollapseError

pytestmark = pytest.mark.slow
EASY = {
    "backbone": "resnet10-w16",
    "spatial_size": 32,
    "local_size": 16,
    "local_views": 2,
    "prototypes": 64,
    "batch_size": 8,
    "precision": "float32",
    "learning_rate": 0.003,
    "momentum": 0.9,
    "initial_epochs": 12,
    "max_epochs": 4,
    "rounds": 3,
}


@pytest.fixture(scope="module")
def easy(tmp_path_factory):
    """Films with a bright lower half, or without: a few epochs are enough."""
    folder = tmp_path_factory.mktemp("easy")
    random = np.random.default_rng(0)
    sections = {"labeled": 32, "unlabeled_1": 32, "unlabeled_2": 32, "unlabeled_3": 32}
    sections |= {"validation": 40, "test": 40}
    content = {"findings": ["bright"], "exclusive": False}
    for name, count in sections.items():
        content[name] = []
        for number in range(count):
            pixels = random.integers(0, 120, (32, 32))
            pixels[16:] += 60 * (number % 2)
            image = f"{name}_{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / image)
            item = {"image": image, "label": [None if "unlabeled" in name else number % 2]}
            content[name].append(item | {"id": image[:-4], "patient_id": image[:-4]})
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


class Flipped(DISTLCorrectionLoss):
    """What somebody who mixed up 0 and 1 in the table of labels would train with."""

    def forward(self, *, label, **answers):
        return super().forward(label=1 - label, **answers)


@pytest.fixture
def poisoned(monkeypatch):
    train = StageRunner.train

    def train_poisoned(runner, plan, *args, **kwargs):
        if plan.name == "round_2":
            centre = plan.method.correction.self_supervision
            correction = Flipped("sigmoid", self_supervision=centre, lam=0.0)
            method = replace(plan.method, correction=correction)
            plan = replace(plan, method=method, correction_every=1)
        train(runner, plan, *args, **kwargs)

    monkeypatch.setattr(StageRunner, "train", train_poisoned)


def evolve(distl, easy, run, **settings):
    distl.run("train", dataset_dir=easy, output_dir=run, **{**EASY, **settings})
    return json.loads((run / "rounds.json").read_text())


def test_a_round_with_flipped_labels_is_rolled_back(distl, easy, poisoned, tmp_path, caplog):
    run = tmp_path / "run"
    content = evolve(distl, easy, run, on_collapse="warn")
    first, second, third = content["rounds"][1:]
    assert [one["accepted"] for one in (first, second, third)] == [True, False, True]
    assert second["reason"].startswith("shown to be worse: macro AUROC -")
    assert second["difference"]["high"] < 0
    assert f"Round 2 of distl is rolled back, {second['reason']}" in caplog.text
    value = [one["validation"]["student"]["macro_auroc"][0] for one in content["rounds"]]
    assert value[1] > 0.9
    assert value[2] < 0.5
    assert value[3] > 0.9  # round 3 went on from round 1
    assert content["delivered"] == 3


def test_the_earlier_model_is_kept_when_the_last_round_is_poisoned(distl, easy, poisoned, tmp_path):
    run = tmp_path / "run"
    content = evolve(distl, easy, run, rounds=2, on_collapse="warn")
    assert content["delivered"] == 1
    assert (run / "model.pt").read_bytes() == (run / "round_1" / "model.pt").read_bytes()
    kept = run / "validation_predictions.csv"
    assert kept.read_text() == (run / "round_1" / "validation_predictions.csv").read_text()


def test_without_the_gate_the_poison_stays(distl, easy, poisoned, tmp_path):
    run = tmp_path / "run"
    content = evolve(distl, easy, run, rounds=2, gate=False, on_collapse="warn")
    assert content["delivered"] == 2
    assert content["rounds"][2]["accepted"]
    assert content["rounds"][2]["validation"]["student"]["macro_auroc"][0] < 0.5


def test_a_round_that_collapses_stops_and_leaves_the_model_before_it(distl, easy, tmp_path):
    """Temperature 1 and no centering: the teacher answers every film alike."""
    run = tmp_path / "run"
    settings = {"student_temperature": 1.0, "teacher_temperature": 1.0, "centering": False}
    settings |= {"lam": 0.9, "correction_every": 0, "max_epochs": 50, "rounds": 1}
    with pytest.raises(RuntimeError, match="Failed to evaluate") as error:
        evolve(distl, easy, run, **settings, ssl_epochs=50)
    assert re.search(r"stopped at iteration (1\d\d|200): .* collapsed in round_1", _root(error))
    assert (run / "health.png").stat().st_size > 1000
    content = json.loads((run / "rounds.json").read_text())
    assert content["delivered"] == 0
    assert (run / "model.pt").read_bytes() == (run / "initial" / "model.pt").read_bytes()
    assert torch.load(run / "round_1" / "checkpoints" / "last.pt", weights_only=True)["epoch"] > 20


class Breaks:
    """A loss that fails at its third step, in its own way."""

    needs_teacher = needs_projection = False

    def __init__(self, error):
        self.error, self.calls, self.parts = error, 0, {}

    def __call__(self, *, student_logits_noised, **unused):
        self.calls += 1
        if self.calls > 2 and isinstance(self.error, Exception):
            raise self.error
        factor = math.nan if self.calls > 2 else 1.0
        return factor * student_logits_noised.square().mean()


def evolve_beside(distl, easy, run, monkeypatch, error, **settings):
    make = monai_kd.engines.make_methods

    def with_one_that_breaks(**knobs):
        methods = make(**knobs)
        broken = Method("self_training", Breaks(error), films="labeled")
        return {**methods, "self_training": broken}

    monkeypatch.setattr("monai_kd.engines.make_methods", with_one_that_breaks)
    beside = ["self_training", "mean_teacher"]
    settings = {"rounds": 1, "max_epochs": 2, "comparators": beside, **settings}
    distl.run("train", dataset_dir=easy, output_dir=run, **{**EASY, **settings})


def test_a_comparator_that_collapses_is_said_and_the_next_one_is_trained(
    distl, easy, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    evolve_beside(distl, easy, run, monkeypatch, TrainingCollapseError("All films look alike."))
    stopped = json.loads((run / "comparators/self_training/rounds.json").read_text())
    assert stopped["stopped"] == "All films look alike."
    assert len(stopped["rounds"]) == 1
    initial = torch.load(run / "initial/model.pt", weights_only=True)
    trained = torch.load(run / "comparators/mean_teacher/round_1/model.pt", weights_only=True)
    assert not torch.equal(trained["conv1.weight"], initial["conv1.weight"])
    rows = distl.read_csv(run / "comparators/mean_teacher/metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert (run / "SHA256SUMS").exists()


def test_another_error_of_a_comparator_ends_the_run_and_resuming_finishes_it(
    distl, easy, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="Failed to evaluate") as error:
        evolve_beside(distl, easy, run, monkeypatch, math.nan)
    assert "the loss is not a finite number" in _root(error)
    assert (run / "SHA256SUMS").exists()  # what was asked for first is delivered
    monkeypatch.undo()
    mended = {"rounds": 1, "max_epochs": 2, "comparators": ["self_training", "mean_teacher"]}
    distl.run("train", dataset_dir=easy, output_dir=run, **{**EASY, **mended, "resume": True})
    for name in mended["comparators"]:
        assert len(json.loads((run / f"comparators/{name}/rounds.json").read_text())["rounds"]) == 2


def _root(raised):
    error = raised.value
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)
