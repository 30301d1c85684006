# SPDX-License-Identifier: Apache-2.0
"""Temperature scaling: against torch, a minimizer, and a planted temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from monai_kd.metrics import apply_temperature, auroc_interval, fit_temperature


def case(n=400, findings=3, activation="softmax", sure=1.0, seed=0):
    """Logits that are right, times ``sure``; labels drawn from what is right."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (n, findings)))
    if activation == "softmax":
        right = logits.softmax(1).numpy()
        drawn = (right.cumsum(1) > rng.random((n, 1))).argmax(1)
        return logits * sure, np.eye(findings)[drawn]
    return logits * sure, (rng.random((n, findings)) < logits.sigmoid().numpy()).astype(float)


def activate(logits, activation):
    return (logits.softmax(1) if activation == "softmax" else logits.sigmoid()).numpy()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_temperature_is_the_one_a_minimizer_finds_from_the_logits(activation):
    logits, label = case(activation=activation, sure=1.7)
    loss = cross_entropy if activation == "softmax" else binary_cross_entropy_with_logits
    target = torch.from_numpy(label)
    best = minimize_scalar(
        lambda t: float(loss(logits / math.exp(t), target)), bounds=(-2, 2), method="bounded"
    )
    fitted = fit_temperature(activate(logits, activation), label, activation=activation)
    assert fitted == pytest.approx(math.exp(best.x), rel=1e-3)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("sure", [0.5, 1.0, 3.0])
def test_a_planted_temperature_is_found(activation, sure):
    logits, label = case(20_000, activation=activation, sure=sure)
    fitted = fit_temperature(activate(logits, activation), label, activation=activation)
    assert fitted == pytest.approx(sure, rel=0.05)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_applying_it_equals_dividing_the_logits(activation):
    logits, _ = case(50, activation=activation)
    expected = activate(logits / 2.5, activation)
    prob = apply_temperature(activate(logits, activation), 2.5, activation=activation)
    np.testing.assert_allclose(prob, expected, atol=1e-6)


def test_ranks_stay_so_the_auroc_does():
    logits, label = case(activation="sigmoid", findings=1)
    prob = logits.sigmoid().numpy()
    cooled = apply_temperature(prob, 3.0, activation="sigmoid")
    assert auroc_interval(cooled, label) == pytest.approx(auroc_interval(prob, label))


def test_unknown_labels_pull_at_nothing():
    logits, label = case(activation="softmax")
    prob = logits.softmax(1).numpy()
    more = label.copy()
    more[:100, 0] = math.nan  # the whole row is left out
    fitted = fit_temperature(prob, more, activation="softmax")
    assert fitted == pytest.approx(fit_temperature(prob[100:], label[100:], activation="softmax"))


def test_labels_without_an_error_end_at_the_coldest_and_nonsense_at_the_hottest():
    label = np.array([[1.0], [0.0]])
    assert fit_temperature(label * 0.8 + 0.1, label, activation="sigmoid") == pytest.approx(0.05)
    assert fit_temperature(0.9 - label * 0.8, label, activation="sigmoid") == pytest.approx(20)


def test_certain_probabilities_stay_finite():
    prob = apply_temperature([[1.0, 0.0]], 2.0, activation="softmax")
    assert np.isfinite(prob).all()
    assert prob[0, 0] < 1


def test_bad_input_is_one_clear_sentence():
    with pytest.raises(ValueError, match=r"`label` must hold at least one known label, got none"):
        fit_temperature([[0.5]], [[math.nan]], activation="sigmoid")
    with pytest.raises(ValueError, match=r"`temperature` must be above 0, got 0"):
        apply_temperature([[0.5]], 0, activation="sigmoid")
    with pytest.raises(ValueError, match=r"`activation` must be one of softmax, sigmoid"):
        fit_temperature([[0.5]], [[1]], activation="relu")


@pytest.mark.parametrize(
    ("prob", "label", "activation"),
    [
        pytest.param([[0.5]] * 4, [[0], [1], [0], [1]], "sigmoid", id="says nothing"),
        pytest.param([[0.6], [0.7], [0.8]], [[1], [1], [1]], "sigmoid", id="one class"),
        pytest.param([[0.6, 0.4], [0.9, 0.1]], [[1, 0], [1, 0]], "softmax", id="one finding"),
    ],
)
def test_where_the_data_say_nothing_probabilities_stay_as_they_are(prob, label, activation, caplog):
    assert fit_temperature(prob, label, activation=activation) == 1.0
    assert "Fit on a larger section" in caplog.text
