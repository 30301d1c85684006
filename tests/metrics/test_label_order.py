# SPDX-License-Identifier: Apache-2.0
"""Swapped or miscoded labels are told; a weak model with right labels is left alone."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monai_kd.metrics import best_label_order, label_hints, score_interval

FINDINGS = ["opacity", "effusion", "nodule"]


def answers(*, skill=2.0, n=150, seed=0):
    rng = np.random.default_rng(seed)
    label = (rng.random((n, 3)) < 0.3).astype(float)
    return 1 / (1 + np.exp(-rng.normal(size=(n, 3)) - skill * label)), label


def hints(prob, label):
    auroc = score_interval("macro_auroc", prob, label, activation="sigmoid")
    return label_hints(prob, label, findings=FINDINGS, auroc=auroc)


def test_the_order_is_the_best_of_all_by_brute_force():
    prob, label = answers(skill=0.4)
    label = label[:, [2, 0, 1]]
    mean = {
        order: np.mean([roc_auc_score(label[:, c], prob[:, p]) for p, c in enumerate(order)])
        for order in permutations(range(3))
    }
    best = max(mean, key=mean.get)
    found = best_label_order(prob, label)
    assert tuple(found.column) == best
    assert found.auroc == pytest.approx(mean[best], abs=1e-12)
    assert found.auroc_as_is == pytest.approx(mean[0, 1, 2], abs=1e-12)


def test_findings_with_few_cases_stay_where_they_are():
    prob, label = answers()
    label = label[:, [1, 0, 2]]
    label[:, 2] = np.nan
    label[:9, 1] = 1
    label[9:, 1] = 0
    assert best_label_order(prob, label).column == [0, 1, 2]
    label[:, :2] = np.nan
    assert np.isnan(best_label_order(prob, label).auroc)


def test_right_labels_give_no_hint():
    assert hints(*answers()) == []


def test_swapped_findings_are_named():
    prob, label = answers()
    (hint,) = hints(prob, label[:, [1, 0, 2]])
    assert (
        "`opacity` fits the labels of `effusion`, `effusion` fits the labels of `opacity`" in hint
    )
    assert "`nodule`" not in hint


@pytest.mark.parametrize(("mixed", "told"), [(0.53, False), (0.8, True)])
def test_another_order_must_gain_a_tenth_to_be_told(mixed, told):
    """Two findings that the model mixes up a little, or altogether."""
    rng = np.random.default_rng(0)
    label = (rng.random((4000, 3)) < 0.3).astype(float)
    seen = (1 - mixed) * label + mixed * label[:, [1, 0, 2]]
    prob = 1 / (1 + np.exp(-rng.normal(size=(4000, 3)) - 3 * seen))
    order = best_label_order(prob, label)
    assert order.column == [1, 0, 2]
    assert order.auroc > 0.7
    assert 0.02 < order.auroc - order.auroc_as_is < 0.08 or told
    assert bool(hints(prob, label)) == told


def test_labels_coded_the_other_way_round_are_worse_than_guessing():
    prob, label = answers()
    hint = hints(prob, 1 - label)[0]
    assert "is below 0.5, worse than guessing" in hint


def test_an_auroc_just_below_one_half_is_not_called_worse_than_guessing():
    prob, label = answers(skill=-0.02, seed=1)
    (hint,) = hints(prob, label)
    assert "is below 0.5, no better than guessing" in hint


def test_weak_models_of_many_findings_are_not_told_to_reorder():
    told = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        label = (rng.random((100, 14)) < 0.08).astype(float)
        prob = 1 / (1 + np.exp(-rng.normal(size=(100, 14)) - 0.5 * label))
        order = best_label_order(prob, label)
        told += order.auroc > max(0.7, order.auroc_as_is + 0.1)
    assert told <= 1
