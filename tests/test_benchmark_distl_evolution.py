# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of the rounds of distl says is what its runs have written."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
METHODS = ("distl", "supervised", "supervised_all")


@pytest.fixture
def load(monkeypatch):
    """Import a file of the benchmarks, which import each other by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def by_name(name):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return by_name


def write_run(folder, seed, films=80):
    """An evaluated run of three methods; supervised < distl < supervised_all after the rounds."""
    random = np.random.default_rng(seed)
    truth = np.arange(films) % 2
    strength = {"supervised": 0.5, "distl": 1.0, "supervised_all": 2.0}
    (folder / "rounds").mkdir(parents=True)
    for method in METHODS:
        home = folder if method == "distl" else folder / "comparators" / method
        home.mkdir(parents=True, exist_ok=True)
        rounds = []
        for number in range(4):
            name = "initial" if number == 0 else f"round_{number}"
            rounds.append(
                {
                    "round": number,
                    "folder": name if method == "distl" or number else "../../initial",
                    "labeled": 10,
                    "unlabeled": 30 * number,
                    "accepted": number != 2,
                    "validation": {"student": {"macro_auroc": [0.7, 0.6, 0.8]}, "teacher": None},
                }
            )
            for network in ("student", "teacher"):
                shift = 0.5 if number == 0 else strength[method]
                prob = 1 / (1 + np.exp(-shift * (2 * truth - 1) - random.normal(size=films)))
                path = folder / "rounds" / f"{method}_{name}_{network}.csv"
                with path.open("w", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerow(["id", "patient_id", "label_tb", "prob_tb"])
                    order = random.permutation(films)  # the order of films must not matter
                    writer.writerows(
                        [f"f{i:03}", f"p{i // 2:02}", truth[i], prob[i]] for i in order
                    )
        history = {"method": method, "delivered": 3, "rounds": rounds}
        (home / "rounds.json").write_text(json.dumps(history))
    return folder


def kept(driver, tmp_path, seeds=3):
    results = tmp_path / "results"
    for seed in range(seeds):
        rows, predictions = driver.read_run(write_run(tmp_path / f"run_{seed}", seed))
        for row in rows:
            row |= {"data": "nih", "study": "methods", "seed": seed, "seconds": 1.0}
        driver.keep(results, f"nih_methods_{seed}", rows, predictions)
    return results


def test_a_run_is_read_film_by_film_in_one_order(load, tmp_path):
    rows, predictions = load("distl_evolution").read_run(write_run(tmp_path / "run", 0))
    assert len(rows) == 3 * 4 * 2
    assert {row["method"] for row in rows} == set(METHODS)
    np.testing.assert_array_equal(predictions["label"][:, 0], np.arange(80) % 2)
    np.testing.assert_array_equal(predictions["patient"], np.arange(80) // 2)
    last = next(row for row in rows if row["method"] == "distl" and row["delivered"])
    prob, label = predictions["distl.3.student"][:, 0], predictions["label"][:, 0]
    pairs = prob[label == 1][:, None] - prob[label == 0][None]  # Mann and Whitney
    assert last["macro_auroc"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)


def test_the_tables_say_each_part(load, tmp_path):
    driver, table = load("distl_evolution"), load("distl_evolution_table")
    text = table.tables(kept(driver, tmp_path))
    assert "### nih: 3 seeds, 80 test films of 40 patients" in text
    assert "| supervised_all minus supervised | 3 | +" in text
    assert "gain shown" in text
    assert "| distl minus the initial model | 3 |" in text
    assert "6 rounds accepted" in text
    assert "3 refused" in text
    assert "round 3 in 3 of 3 seeds" in text


def test_what_is_kept_is_not_run_again(load, tmp_path):
    import argparse

    driver = load("distl_evolution")
    args = argparse.Namespace(
        results=kept(driver, tmp_path, seeds=2), data=["nih"], studies=["methods", "flipped_10"],
        first_seed=0, seeds=3, pool=0, set={"max_epochs": 2}, runs=tmp_path,
    )  # fmt: skip
    left = driver.jobs(args)
    assert [job.name for job in left] == [
        "nih_methods_2", "nih_flipped_10_0", "nih_flipped_10_1", "nih_flipped_10_2",
    ]  # fmt: skip
    assert left[0].knobs["max_epochs"] == 2


def test_fieller_holds_the_true_ratio_in_95_of_100(load):
    fieller = load("distl_evolution_table").fieller
    random = np.random.default_rng(0)
    cover = np.array([[1.0, 0.6], [0.6, 2.0]])  # of the gain and of the gap
    rest = cover[0, 0] + cover[1, 1] - 2 * cover[0, 1]
    held = 0
    draws = random.multivariate_normal([5.0, 10.0], cover, size=4000)
    for a, b in draws:
        spans = [
            (mean, mean - 1.96 * math.sqrt(v), mean + 1.96 * math.sqrt(v))
            for mean, v in ((a, cover[0, 0]), (b, cover[1, 1]), (a - b, rest))
        ]
        low, high = fieller(*spans)
        held += low <= 0.5 <= high
    assert held / len(draws) == pytest.approx(0.95, abs=0.012)


def test_fieller_is_silent_when_the_gap_is_not_shown(load):
    low, high = load("distl_evolution_table").fieller((1, 0, 2), (1, -1, 3), (0, -2, 2))
    assert math.isnan(low)
    assert math.isnan(high)


def films(data, **changes):
    return {"data": data, "seed": 1, **changes}


@pytest.mark.parametrize("name", ["nih", "kermany", "kermany_kind"])
def test_only_what_is_asked_for_is_changed(load, tmp_path, name):
    data = load("distl_evolution_data")
    if not data.NIH.exists() or not data.KERMANY.exists():
        pytest.skip("needs the two data sets beside the project")

    def made(**changes):
        wanted = data.Films(**films(name, **changes))
        folder = tmp_path / f"films_{len(list(tmp_path.iterdir()))}"
        return data.make_datalist(wanted, folder, hashes=tmp_path / "hashes.json").sections

    plain, flipped, foreign = made(), made(flipped=0.2), made(foreign=0.2)
    assert all(item["label"] == [None] for item in plain["unlabeled_1"])
    wrong = [
        a["label"] != b["label"] for a, b in zip(plain["labeled"], flipped["labeled"], strict=True)
    ]
    assert np.mean(wrong) == pytest.approx(0.2, abs=0.02)
    assert {key: items for key, items in plain.items() if key != "labeled"} == {
        key: items for key, items in flipped.items() if key != "labeled"
    }
    for number in (1, 2, 3):
        items = foreign[f"unlabeled_{number}"]
        assert len(items) == len(plain[f"unlabeled_{number}"])
        assert np.mean([i["hidden_label"] == [None] for i in items]) == pytest.approx(0.2, abs=0.02)
    for section in ("labeled", "validation", "test"):
        assert foreign[section] == plain[section]
