# SPDX-License-Identifier: Apache-2.0
"""Scores batch by batch: against scikit-learn, inside Ignite, and over two processes."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, roc_auc_score

from monai_kd.metrics import AUROCMetric, ScoreMetric

NAN = math.nan


def case(n=60, findings=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = (torch.rand(n, findings, generator=generator) < 0.4).float()
    prob = (torch.rand(n, findings, generator=generator) + 0.5 * label) / 1.5
    return prob, label


def fed(metric, prob, label, *, sizes=(7, 20, 33)):
    for one, other in zip(prob.split(sizes), label.split(sizes), strict=True):
        metric(one, other)
    return metric.aggregate().item()


def test_batches_add_up_to_scikit_learn():
    prob, label = case()
    expected = roc_auc_score(label, prob, average="macro")
    assert fed(AUROCMetric(), prob, label) == pytest.approx(expected, abs=1e-12)
    decided = (prob >= 0.5).float()
    for name, value in (
        ("accuracy", accuracy_score(label.ravel(), decided.ravel())),
        ("macro_f1", f1_score(label, decided, average="macro")),
        ("brier", np.mean([brier_score_loss(label[:, c], prob[:, c]) for c in range(3)])),
    ):
        found = fed(ScoreMetric(name, activation="sigmoid"), prob, label)
        assert found == pytest.approx(value, abs=1e-7)


def test_softmax_decides_for_the_most_probable():
    prob, _ = case()
    label = torch.eye(3)[torch.arange(60) % 3]
    expected = accuracy_score(label.argmax(1), prob.argmax(1))
    assert fed(ScoreMetric("accuracy", activation="softmax"), prob, label) == expected


def test_unknown_labels_are_left_out_and_absent_classes_too():
    prob, label = case()
    masked = label.clone()
    masked[::4, 0] = NAN  # unknown
    masked[:, 2] = 0  # absent
    known = ~masked[:, 0].isnan()
    expected = [
        roc_auc_score(masked[known, 0], prob[known, 0]),
        roc_auc_score(label[:, 1], prob[:, 1]),
    ]
    assert fed(AUROCMetric(), prob, masked) == pytest.approx(np.mean(expected), abs=1e-12)


def test_no_class_at_all_is_nan_not_an_error():
    assert math.isnan(fed(AUROCMetric(), case()[0], torch.zeros(60, 3)))


def test_lists_of_images_and_single_findings_are_taken_too():
    prob, label = case()
    metric = AUROCMetric()
    metric(list(prob), list(label))
    assert metric.aggregate().item() == pytest.approx(fed(AUROCMetric(), prob, label))
    one = AUROCMetric()
    one(prob[:, 0], label[:, 0])
    assert one.aggregate().item() == pytest.approx(roc_auc_score(label[:, 0], prob[:, 0]))


def test_reset_forgets():
    metric = AUROCMetric()
    fed(metric, *case())
    metric.reset()
    assert fed(metric, *case(seed=1)) == pytest.approx(fed(AUROCMetric(), *case(seed=1)))


def test_batches_that_come_after_an_answer_count_too():
    prob, label = case()
    metric = AUROCMetric()
    fed(metric, prob[:30], label[:30], sizes=(10, 20))
    found = fed(metric, prob[30:], label[30:], sizes=(10, 20))
    assert found == pytest.approx(fed(AUROCMetric(), prob, label))


def test_it_works_inside_ignite():
    prob, label = case()
    engine = Engine(lambda _, batch: {"pred": batch[0], "label": batch[1]})
    handler = IgniteMetricHandler(
        AUROCMetric(), output_transform=lambda output: (output["pred"], output["label"])
    )
    handler.attach(engine, "auroc")
    batches = list(zip(prob.split(25), label.split(25), strict=True))
    for _ in range(2):  # a second run forgets the first
        state = engine.run(batches)
        assert state.metrics["auroc"] == pytest.approx(roc_auc_score(label, prob))


def test_bad_input_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"`name` must be one of macro_auroc, .*got 'auroc'"):
        ScoreMetric("auroc", activation="sigmoid")
    with pytest.raises(ValueError, match=r"`activation` must be one of softmax, sigmoid"):
        ScoreMetric("brier", activation="none")
    with pytest.raises(ValueError, match=r"^AUROCMetric: `aggregate` must come after .* got none"):
        AUROCMetric().aggregate()
    with pytest.raises(ValueError, match=r"`y` must have the shape of `y_pred`, \(2, 1\), got \(2"):
        AUROCMetric()(torch.zeros(2, 1), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"`y_pred` must be in \[0, 1\], got others or NaN"):
        fed(AUROCMetric(), torch.full((60, 1), NAN), torch.zeros(60, 1))


SHARES = """
import json, sys
import torch.distributed as dist
from monai_kd.metrics import AUROCMetric
import torch

rank, store, data = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
prob, label = torch.load(data)
metric, said = AUROCMetric(), []
for cut in (30, 13, 60):
    metric.reset()
    mine = ((0, cut), (cut, None))[rank]
    for one, other in zip(prob[slice(*mine)].split(5), label[slice(*mine)].split(5)):
        if len(one):
            metric(one, other)
    said.append((metric.aggregate().item(), len(metric)))
print(json.dumps(said))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_say_what_one_says_even_if_one_has_nothing(tmp_path):
    torch.save(case(), tmp_path / "data.pt")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SHARES, str(rank), tmp_path / "store", tmp_path / "data.pt"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    alone = fed(AUROCMetric(), *case())
    assert said == [[[pytest.approx(alone), 60]] * 3] * 2


def test_refuses_labels_that_are_no_labels():
    metric = ScoreMetric("accuracy", activation="sigmoid")
    metric(torch.tensor([[0.5], [0.2]]), torch.tensor([[1.0], [-1.0]]))
    with pytest.raises(ValueError, match="ScoreMetric: `y` must be 0, 1, or NaN"):
        metric.aggregate()
