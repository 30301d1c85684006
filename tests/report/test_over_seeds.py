# SPDX-License-Identifier: Apache-2.0
"""One method over its seeds: mean and spread are those of the single runs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.report import summarize_seeds
from monai_kd.utils import MonaiKDError
from tests.report.run_folders import FINDINGS, write_run


@pytest.fixture
def folder(tmp_path):
    for seed in range(4):
        write_run(tmp_path / f"seed_{seed}", seed=seed)
    return tmp_path


def test_mean_and_sd_are_those_of_scikit_learns_value_of_each_run(folder):
    from sklearn.metrics import roc_auc_score

    from monai_kd.metrics import read_predictions

    tables = [read_predictions(folder / f"seed_{seed}" / "predictions.csv") for seed in range(4)]
    values = [roc_auc_score(one.label, one.prob) for one in tables]
    found = summarize_seeds(folder).scores[0]
    assert (found.score, found.finding) == ("macro_auroc", "")
    assert found.values == pytest.approx(values)
    assert found.over_both.estimate == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    mean = np.mean(values)
    step = 3.182446305284263 * found.sd / 2 / (mean * (1 - mean))  # Student's t, 3 df, as logit
    assert found.over_seeds.high == pytest.approx(1 / (1 + (1 - mean) / mean * np.exp(-step)))


def test_each_finding_has_its_auroc(folder):
    found = summarize_seeds(folder).scores
    assert [one.finding for one in found if one.finding] == FINDINGS


def test_the_interval_over_two_seeds_stays_within_the_scale(folder):
    for one in summarize_seeds(folder, seeds=[0, 1]).scores:
        assert 0 <= one.over_seeds.low <= one.over_seeds.high <= 1


def test_only_the_seeds_that_are_asked_for_count(folder):
    found = summarize_seeds(folder, seeds=range(2))
    assert found.seeds == [0, 1]
    assert len(found.scores[0].values) == 2


def test_one_seed_has_no_spread_and_the_interval_of_its_patients(folder):
    content = summarize_seeds(folder, seeds=[3]).as_dict()
    first = json.loads(json.dumps(content, allow_nan=False))["scores"][0]
    assert first["sd"] is None
    assert first["ci_seeds"] is None
    assert first["ci_seeds_and_patients"][0] < first["mean"] < first["ci_seeds_and_patients"][1]


def test_the_summary_holds_no_id_and_no_path(folder):
    text = json.dumps(summarize_seeds(folder).as_dict())
    assert str(folder) not in text
    assert "p7" not in text


@pytest.mark.parametrize("seeds", [(), (3, 4)])
def test_runs_that_are_not_there_are_said(folder, tmp_path_factory, seeds):
    place = folder if seeds else tmp_path_factory.mktemp("empty")
    with pytest.raises(MonaiKDError, match=r"must hold the runs seed_0, seed_1, .* of"):
        summarize_seeds(place, seeds=seeds)


def test_runs_of_different_methods_are_refused(folder):
    write_run(folder / "seed_2", seed=2, rate=0.2)
    with pytest.raises(MonaiKDError, match=r"trained with the same settings, got different `rate`"):
        summarize_seeds(folder)


def test_patients_that_are_not_known_are_not_counted(folder):
    assert summarize_seeds(folder).patients == 30
    for seed in range(4):
        write_run(folder / f"seed_{seed}", seed=seed, films_without_patient=60)
    assert summarize_seeds(folder).patients is None
