# SPDX-License-Identifier: Apache-2.0
"""Scores against scikit-learn; their influences against finite differences of weighted scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import SCORES
from monai_kd.metrics.parts import mean_of


def case(activation, n=40, findings=3, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, findings, n)
    label = np.eye(findings)[truth]
    odds = np.exp(rng.normal(size=(n, findings)) + 1.2 * label)
    prob = odds / odds.sum(1, keepdims=True)
    if activation == "sigmoid":
        label = (rng.random((n, findings)) < 0.4).astype(float)
        prob = np.clip(0.6 * rng.random((n, findings)) + 0.3 * label, 0, 1)
    return (np.round(prob, 1) if ties else prob), label


def uncorrected(influence, weight):
    return influence


def oracle(name, prob, label, activation, weight=None):
    """scikit-learn, finding by finding or over the decisions, with weights of the images."""
    from sklearn import metrics as sk

    weight = np.ones(len(prob)) if weight is None else weight
    columns = range(prob.shape[1])
    decided = prob >= 0.5 if activation == "sigmoid" else np.eye(len(columns))[prob.argmax(1)] == 1
    each = {
        "macro_auroc": lambda c: sk.roc_auc_score(label[:, c], prob[:, c], sample_weight=weight),
        "macro_auprc": lambda c: sk.average_precision_score(
            label[:, c], prob[:, c], sample_weight=weight
        ),
        "macro_f1": lambda c: sk.f1_score(label[:, c], decided[:, c], sample_weight=weight),
        "brier": lambda c: np.average((prob[:, c] - label[:, c]) ** 2, weights=weight),
        "accuracy": lambda c: sk.accuracy_score(label[:, c], decided[:, c], sample_weight=weight),
        "balanced_accuracy": lambda c: sk.balanced_accuracy_score(
            label[:, c], decided[:, c], sample_weight=weight
        ),
    }
    if activation == "softmax" and name in {"accuracy", "balanced_accuracy"}:
        judge = {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}
        return judge[name](label.argmax(1), prob.argmax(1), sample_weight=weight)
    return float(np.mean([each[name](c) for c in columns]))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_each_score_equals_scikit_learn(name, activation, ties):
    prob, label = case(activation, ties=ties)
    value, _ = SCORES[name](prob, label, activation=activation)
    assert value == pytest.approx(oracle(name, prob, label, activation), abs=1e-12)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_influences_are_the_derivative_to_the_weight_of_each_image(name, activation, ties):
    prob, label = case(activation, ties=ties)
    parts = SCORES[name].measure(prob, label, activation == "softmax", uncorrected)
    _, influence = mean_of(parts, len(prob))
    for image in range(0, len(prob), 6):
        weight = np.ones(len(prob))
        weight[image] += 1e-5
        up = oracle(name, prob, label, activation, weight)
        weight[image] -= 2e-5
        slope = (up - oracle(name, prob, label, activation, weight)) / 2e-5
        assert influence[image] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("name", SCORES)
def test_the_jackknife_divides_by_what_is_left_without_the_patient(name):
    prob, label = case("sigmoid", findings=1)
    patient = np.arange(40) // 2
    mild = SCORES[name](prob, label, activation="sigmoid", patient_id=patient)[1]
    wide = SCORES[name](prob, label, activation="sigmoid", patient_id=patient, jackknife=True)[1]
    assert (np.abs(wide) >= np.abs(mild)).all()
    assert np.square(wide).sum() > 1.01 * np.square(mild).sum()


def test_the_jackknife_of_accuracy_is_that_of_leaving_out_each_patient():
    prob, label = case("sigmoid", findings=1)
    patient = np.random.default_rng(0).integers(0, 12, 40)
    value, influence = SCORES["accuracy"](
        prob, label, activation="sigmoid", patient_id=patient, jackknife=True
    )
    per_patient = np.bincount(patient, weights=influence)
    for who in range(12):
        rest = patient != who
        without, _ = SCORES["accuracy"](prob[rest], label[rest], activation="sigmoid")
        assert per_patient[who] == pytest.approx(value - without, abs=1e-12)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", SCORES)
def test_an_unknown_label_is_as_if_the_image_were_not_there(name, activation):
    prob, label = case(activation)
    gone = np.arange(40) % 7 == 0
    masked = np.where(gone[:, None], np.nan, label)
    value, influence = SCORES[name](prob, masked, activation=activation)
    less, its_influence = SCORES[name](prob[~gone], label[~gone], activation=activation)
    assert value == pytest.approx(less, abs=1e-12)
    np.testing.assert_allclose(influence[~gone], its_influence, atol=1e-12)
    assert (influence[gone] == 0).all()


@pytest.mark.parametrize("name", ["macro_auroc", "macro_auprc", "balanced_accuracy"])
def test_a_finding_without_both_classes_is_left_out_of_the_mean(name):
    prob, label = case("sigmoid")
    label[:, 1] = 0
    value, _ = SCORES[name](prob, label, activation="sigmoid")
    assert value == pytest.approx(
        oracle(name, prob[:, [0, 2]], label[:, [0, 2]], "sigmoid"), abs=1e-12
    )
    assert math.isnan(SCORES[name](prob[:, 1], label[:, 1], activation="sigmoid")[0])


def test_only_brier_is_better_when_it_is_lower():
    assert [name for name, score in SCORES.items() if score.lower_is_better] == ["brier"]


@pytest.mark.parametrize(
    ("prob", "label", "activation", "message"),
    [
        pytest.param(np.ones((3, 2)), np.ones((3, 1)), "sigmoid", r"\(3, 2\) and \(3, 1\)"),
        pytest.param(np.ones((3, 1)), np.ones((3, 1)), "softmax", "two columns or more"),
        pytest.param(np.ones((3, 1)), np.ones((3, 1)), "sigmod", "Did you mean `sigmoid`"),
    ],
)
def test_refuses_what_cannot_be_scored(prob, label, activation, message):
    with pytest.raises(ValueError, match=message):
        SCORES["accuracy"](prob, label, activation=activation)
