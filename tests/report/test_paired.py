# SPDX-License-Identifier: Apache-2.0
"""Two models on the same films: what is shown is there, what is not there is seldom shown."""

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.metrics import Predictions
from monai_kd.report import compare_predictions
from monai_kd.utils import MonaiKDError

FINDINGS = ["normal", "bacterial", "viral"]


def table(prob, label, *, patients=True, **metadata):
    prob, label = (np.asarray(part, float).reshape(len(label), -1) for part in (prob, label))
    return Predictions(
        findings=FINDINGS[: prob.shape[1]],
        key=[f"film {number}" for number in range(len(prob))],
        patient_id=[f"p{number // 2}" for number in range(len(prob))] if patients else None,
        label=label,
        prob=prob,
        metadata=metadata,
    )


def two_models(*, n, skill=(1.2, 1.2), seed=0):
    """Softmax models that share half of their noise; patients have two films and a bias."""
    rng = np.random.default_rng(seed)
    label = np.eye(3)[rng.integers(0, 3, n)]
    shared = rng.normal(size=(n, 3)) + np.repeat(rng.normal(size=(n // 2, 3)), 2, axis=0) * 0.7
    tables = []
    for one in skill:
        logits = one * label + 0.7 * shared + 0.7 * rng.normal(size=(n, 3))
        prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        tables.append(table(prob, label))
    return tables


def compare(ours, theirs, **settings):
    return compare_predictions([ours], [theirs], **{"activation": "softmax", **settings})


def test_identical_models_are_never_shown_to_differ():
    ours, _ = two_models(n=200)
    found = compare(ours, ours)
    assert {gain.verdict for gain in found.gains} == {"not shown"}
    assert {gain.difference.estimate for gain in found.gains} == {0.0}
    assert "Both models give every film the same probabilities." in found.notes


def test_a_planted_gain_of_0_03_auroc_is_shown_on_2000_films():
    rng = np.random.default_rng(3)
    label = np.repeat([0.0, 1.0], 1000)
    noise, own = rng.normal(size=2000), rng.normal(size=(2, 2000))
    # AUROC of a normal score is Phi(shift / sqrt 2): 0.83 and 0.80.
    score = [
        s * label + np.sqrt(0.5) * (noise + o) for s, o in zip((1.349, 1.190), own, strict=True)
    ]
    ours, theirs = (table(1 / (1 + np.exp(-one)), label) for one in score)
    gain = compare(ours, theirs, activation="sigmoid", metrics=["macro_auroc"]).gains[0]
    assert gain.difference.estimate == pytest.approx(0.03, abs=0.01)
    assert gain.verdict == "gain shown"
    loss = compare(theirs, ours, activation="sigmoid", metrics=["macro_auroc"]).gains[0]
    assert loss.verdict == "loss shown"
    assert loss.difference.estimate == pytest.approx(-gain.difference.estimate)


@pytest.mark.slow
@pytest.mark.parametrize("score", ["macro_auroc", "macro_auprc", "accuracy", "macro_f1", "brier"])
def test_of_500_pairs_without_a_difference_3_to_7_percent_are_shown(score):
    shown = 0
    for seed in range(500):
        gain = compare(*two_models(n=240, seed=seed), metrics=[score]).gains[0]
        shown += gain.verdict != "not shown"
    assert 15 <= shown <= 35


def test_the_difference_of_each_score_is_that_of_scikit_learn():
    from sklearn import metrics

    ours, theirs = two_models(n=150, skill=(1.6, 0.8), seed=1)
    truth = ours.label.argmax(axis=1)

    def expected(one):
        said = one.prob.argmax(axis=1)
        return {
            "macro_auroc": metrics.roc_auc_score(one.label, one.prob),
            "macro_auprc": metrics.average_precision_score(one.label, one.prob),
            "accuracy": metrics.accuracy_score(truth, said),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, said),
            "macro_f1": metrics.f1_score(truth, said, average="macro"),
            "brier": np.mean((one.prob - one.label) ** 2),
        }

    one, other = expected(ours), expected(theirs)
    found = {gain.score: gain for gain in compare(ours, theirs).gains if not gain.by}
    assert list(found) == list(one)
    for name, gain in found.items():
        assert gain.ours == pytest.approx(one[name])
        assert gain.difference.estimate == pytest.approx(one[name] - other[name])


def test_a_lower_brier_score_is_a_gain():
    ours, theirs = two_models(n=400, skill=(2.5, 0.5))
    gain = next(gain for gain in compare(ours, theirs).gains if gain.score == "brier")
    assert gain.difference.high < 0
    assert gain.verdict == "gain shown"


def test_each_finding_has_its_own_auroc_and_each_group_its_macro_auroc():
    from sklearn.metrics import roc_auc_score

    ours, theirs = two_models(n=120)
    sex = ["F", "M", "M"] * 40
    ours = table(ours.prob, ours.label, sex=sex)
    found = {(gain.by, gain.group): gain for gain in compare(ours, theirs).gains if gain.by}
    assert list(found) == [
        *(("finding", name) for name in FINDINGS),
        ("sex", "F"),
        ("sex", "M"),
    ]
    viral = roc_auc_score(ours.label[:, 2], ours.prob[:, 2])
    assert found["finding", "viral"].ours == pytest.approx(viral)
    women = np.array(sex) == "F"
    assert found["sex", "F"].ours == pytest.approx(
        roc_auc_score(ours.label[women], ours.prob[women])
    )
    assert found["sex", "F"].films == 40


def test_a_group_that_everyone_is_in_gets_no_line():
    ours, theirs = two_models(n=60)
    ours = table(ours.prob, ours.label, site=["A"] * 60)
    assert {gain.by for gain in compare(ours, theirs).gains} == {"", "finding"}


def test_the_first_score_is_the_one_by_group():
    ours, theirs = two_models(n=60)
    ours = table(ours.prob, ours.label, view=["AP", "PA"] * 30)
    found = compare(ours, theirs, metrics=["accuracy", "brier"])
    lines = [(gain.score, gain.by) for gain in found.gains]
    assert lines[:2] == [("accuracy", ""), ("brier", "")]
    assert set(lines[2:]) == {("brier", "finding"), ("accuracy", "view")}


def test_films_are_paired_by_id_and_not_by_their_place():
    ours, theirs = two_models(n=80, skill=(1.6, 0.8))
    turned = theirs.rows(np.arange(80)[::-1])
    assert compare(ours, turned).gains == compare(ours, theirs).gains


def test_films_that_one_model_has_not_judged_are_left_out_and_counted():
    ours, theirs = two_models(n=80)
    found = compare(ours, theirs.rows(np.arange(70)))
    assert found.films == 70
    assert "10 films that not every run has judged are left out." in found.notes


def test_a_softmax_film_with_an_unknown_label_counts_for_no_score():
    ours, theirs = two_models(n=80)
    label = ours.label.copy()
    label[:10, 1] = np.nan
    ours, theirs = (table(one.prob, label) for one in (ours, theirs))
    without = compare(ours.rows(np.arange(10, 80)), theirs.rows(np.arange(10, 80)))
    assert compare(ours, theirs).gains == without.gains


def test_films_of_one_patient_widen_the_interval():
    rng = np.random.default_rng(5)
    label = np.repeat(rng.integers(0, 2, 60), 2).astype(float)
    prob = [np.repeat(rng.random(60), 2) * 0.6 + 0.3 * label for _ in range(2)]
    for patients in (True, False):
        tables = [table(one, label, patients=patients) for one in prob]
        difference = compare(*tables, activation="sigmoid").gains[0].difference
        if patients:
            clustered = difference
    ratio = (clustered.high - clustered.low) / (difference.high - difference.low)
    assert ratio == pytest.approx(np.sqrt(2), rel=0.05)


def test_a_group_is_compared_as_if_it_were_all_there_is():
    ours, theirs = two_models(n=120)
    sex = np.repeat(["F", "M", "M"], 40)
    ours = table(ours.prob, ours.label, sex=sex.tolist())
    women = [one.rows(sex == "F") for one in (ours, theirs)]
    gain = next(gain for gain in compare(ours, theirs).gains if gain.group == "F")
    assert gain.difference == compare(*women).gains[0].difference


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_one_class_only_is_said_in_one_sentence(value):
    ours = table(np.linspace(0, 1, 20), np.full(20, value))
    with pytest.raises(MonaiKDError, match=r"at least one finding must be present .* one class"):
        compare(ours, ours, activation="sigmoid")


def test_an_unknown_score_is_said_with_the_nearest_name():
    ours, theirs = two_models(n=20)
    with pytest.raises(ValueError, match=r"Did you mean `macro_auroc`"):
        compare(ours, theirs, metrics=["auroc"])
