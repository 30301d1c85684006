# SPDX-License-Identifier: Apache-2.0
"""The gate keeps what is not worse, and rolls back what is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.engines import judge_round
from monai_kd.engines.gate import validation_score
from monai_kd.metrics import Predictions, score_difference


def predictions(films=200, *, skill=1.0, seed=0, flipped=False):
    """One finding; the score follows the label by ``skill`` standard deviations."""
    random = np.random.default_rng(seed)
    label = (np.arange(films) % 2).astype(float)
    noise = np.random.default_rng(1).normal(size=films)  # the films are what they are
    score = skill * label + noise + 0.1 * random.normal(size=films)
    prob = 1 / (1 + np.exp(score if flipped else -score))
    return Predictions(
        findings=["mass"],
        key=[f"film{number}" for number in range(films)],
        patient_id=[f"patient{number // 2}" for number in range(films)],
        label=label[:, None],
        prob=prob[:, None],
    )


def test_a_better_round_is_kept_with_its_difference():
    before, after = predictions(skill=0.5), predictions(skill=2.0)
    decision = judge_round(before, after, activation="sigmoid")
    assert decision.accepted
    assert decision.reason == ""
    expected = score_difference(
        "macro_auroc",
        after.prob,
        before.prob,
        after.label,
        activation="sigmoid",
        patient_id=after.patient_id,
    )
    assert decision.difference == expected
    assert decision.for_json() == {
        "score": "macro_auroc",
        "value": pytest.approx(expected.estimate),
        "low": pytest.approx(expected.low),
        "high": pytest.approx(expected.high),
        "p_value": pytest.approx(expected.p_value),
    }


def test_a_round_that_turned_the_labels_round_is_rolled_back():
    decision = judge_round(predictions(), predictions(flipped=True), activation="sigmoid")
    assert not decision.accepted
    assert decision.reason.startswith("shown to be worse: macro AUROC -0.")
    assert "200 validation films (95% CI -0." in decision.reason


def test_few_films_show_nothing_so_the_tolerance_decides():
    before, after = predictions(12, skill=1.5), predictions(12, skill=0.8, seed=5)
    loss = judge_round(before, after, activation="sigmoid", tolerance=0.01)
    assert loss.difference.low < loss.difference.estimate < 0 < loss.difference.high
    assert not loss.accepted
    assert loss.reason.startswith("worse by more than 0.01: ")
    assert judge_round(before, after, activation="sigmoid", tolerance=1.0).accepted


def test_the_same_model_is_kept():
    assert judge_round(predictions(), predictions(), activation="sigmoid", tolerance=0.0).accepted


@pytest.mark.parametrize("tolerance", [-0.1, 1.5])
def test_a_tolerance_that_is_no_auroc_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"`tolerance` must be in \[0, 1\], got"):
        judge_round(predictions(), predictions(), activation="sigmoid", tolerance=tolerance)


def test_labels_that_give_no_score_give_none_and_keep_the_round():
    one_kind = predictions()
    one_kind.label[:] = 1.0
    assert validation_score(one_kind, activation="sigmoid") is None
    decision = judge_round(one_kind, one_kind, activation="sigmoid")
    assert decision.accepted  # nothing speaks against it
    assert json.loads(json.dumps(decision.for_json()))["value"] is None


def test_the_score_stands_between_its_limits():
    value, low, high = validation_score(predictions(), activation="sigmoid")
    assert 0.5 < low < value < high < 1
