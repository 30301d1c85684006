# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of AALS on FracAtlas says is what its runs have written."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from monai_kd.data import film_groups
from monai_kd.metrics import Candidates, froc_difference, froc_score, seeds_difference
from monai_kd.metrics.bootstrap import bootstrap

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STRENGTH = {"first_stage": 0.6, "supervised": 0.6, "mean_teacher": 1.0, "aals": 1.6}
"""How well each arm is made to see; ``first_stage`` and ``supervised`` differ by chance alone."""


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


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_test(folder, arm, seed, films=120):
    """An evaluated run: every second film has a fracture; two candidates on each film."""
    folder.mkdir(parents=True)
    random = np.random.default_rng([seed, len(arm)])
    truth = np.arange(films) % 2
    hardness = np.random.default_rng(7).normal(size=films)  # the same for all arms and seeds
    sure = STRENGTH[arm] * (2 * truth - 1) + 0.7 * hardness + 0.7 * random.normal(size=films)
    prob = 1 / (1 + np.exp(-sure))
    order = random.permutation(films)  # the order of films must not matter
    write_csv(
        folder / "predictions.csv",
        ["id", "patient_id", "label_fracture", "prob_fracture"],
        [[f"f{i:03}", "", truth[i], prob[i]] for i in order],
    )
    write_csv(
        folder / "lesions.csv",
        ["id", "patient_id", "finding", "lesions"],
        [[f"f{i:03}", "", "fracture", truth[i]] for i in order[::-1]],
    )
    box = [0, 0, 8, 8]
    found = []
    for i in order:
        hit = truth[i] and sure[i] > 0
        found.append([f"f{i:03}", "fracture", prob[i], *box, "0" if hit else ""])
        found.append([f"f{i:03}", "fracture", prob[i] / 2, *box, "repeat" if hit else ""])
    write_csv(
        folder / "candidates.csv",
        ["id", "finding", "score", "x_min", "y_min", "x_max", "y_max", "lesion"],
        found,
    )
    return folder


def kept(runs, tmp_path, seeds=3, arms=tuple(STRENGTH)):
    results = tmp_path / "results"
    for seed in range(seeds):
        for arm in arms:
            row, predictions = runs.read_test(write_test(tmp_path / f"run_{arm}_{seed}", arm, seed))
            row |= dict.fromkeys(("validation_auroc", "validation_froc"), 0.75)
            row |= {"above_center": 0.5 if arm == "aals" else math.nan, "pseudo_precision": 0.25}
            runs.keep(
                results, row | {"arm": arm, "seed": seed, "epoch": 3, "seconds": 90.0}, predictions
            )
    return results


def test_a_run_is_read_film_by_film_in_one_order(load, tmp_path):
    row, said = load("aals_fracatlas_runs").read_test(write_test(tmp_path / "run", "aals", 0))
    assert said["film"].tolist() == [f"f{i:03}" for i in range(120)]
    np.testing.assert_array_equal(said["label"][:, 0], np.arange(120) % 2)
    np.testing.assert_array_equal(said["lesions"], np.arange(120) % 2)
    prob, label = said["prob"][:, 0], said["label"][:, 0]
    pairs = prob[label == 1][:, None] - prob[label == 0][None]  # Mann and Whitney
    assert row["auroc"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    first = np.isclose(said["score"], prob[said["image"]], rtol=1e-5)
    assert first.sum() == 120  # candidates belong to the films that they were found on
    assert set(said["lesion"][label[said["image"]] == 0]) == {-1}
    assert set(said["lesion"][~first & (said["lesion"] != -1)]) == {-2}  # repeated hits
    assert row["n_test"] == 120
    assert row["lesions"] == 60
    # one candidate per film has its film's score, the other half of it: recall at 1 FP by hand
    wrong = np.sort(said["score"][said["lesion"] == -1])[::-1]
    hits = said["score"][said["lesion"] == 0]
    limit = wrong[120] if len(wrong) > 120 else -1.0
    assert row["recall_at_1"] == pytest.approx((hits > limit).sum() / 60)


def test_films_that_were_not_scored_stop_it(load, tmp_path):
    folder = write_test(tmp_path / "run", "aals", 0)
    lines = (folder / "lesions.csv").read_text().splitlines()
    (folder / "lesions.csv").write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(SystemExit, match="3 films were not scored"):
        load("aals_fracatlas_runs").read_test(folder)


def test_the_chosen_epoch_is_that_of_its_phase(load, tmp_path):
    header = ["phase", "epoch", "val_macro_auroc", "val_froc_score"]
    rows = [["first_stage", 1, 0.9, 0.5], ["second_stage", 1, 0.6, 0.4],
            ["second_stage", 2, 0.7, 0.3], ["second_stage", 3, "", ""]]  # fmt: skip
    write_csv(tmp_path / "metrics.csv", header, rows)
    runs = load("aals_fracatlas_runs")
    said = runs.read_training(tmp_path, "second_stage", "val_macro_auroc")
    assert (said["epoch"], said["validation_auroc"], said["validation_froc"]) == (2, 0.7, 0.3)
    assert math.isnan(said["above_center"])
    assert runs.read_training(tmp_path, "second_stage", "val_froc_score")["epoch"] == 1
    health = ["phase", "iteration", "above_center_fracture", "precision_fracture"]
    write_csv(
        tmp_path / "health.csv",
        health,
        [["second_stage", 20, 0.2, ""], ["second_stage", 40, 0.4, 0.1]],
    )
    said = runs.read_training(tmp_path, "second_stage", "val_macro_auroc")
    assert said["above_center"] == pytest.approx(0.3)
    assert said["pseudo_precision"] == pytest.approx(0.1)


def test_the_tables_say_each_part(load, tmp_path):
    runs, table = load("aals_fracatlas_runs"), load("aals_fracatlas_table")
    text = table.tables(kept(runs, tmp_path))
    lines = text.splitlines()
    assert "### 120 test films, 60 with a fracture, 60 fractures drawn" in text
    assert sum(line.startswith("| aals | 3 |") for line in lines) == 1
    gain = next(line for line in lines if line.startswith("| aals minus supervised |"))
    assert gain.count("gain shown") == 2
    none = next(line for line in lines if line.startswith("| aals minus first_stage |"))
    assert "gain shown" in none
    assert any(
        line.startswith("| aals | 75.0 | 75.0 | 3, 3, 3 | 50.0 | 25.0 | 1.5 |") for line in lines
    )
    assert "all_boxes" not in text  # an arm that has not run is not there


def test_runs_of_different_films_are_not_compared(load, tmp_path):
    runs, table = load("aals_fracatlas_runs"), load("aals_fracatlas_table")
    results = kept(runs, tmp_path, seeds=1)
    path = results / "aals_predictions" / "aals_0.npz"
    with np.load(path) as file:
        said = {name: file[name] for name in file.files}
    said["film"] = said["film"][::-1]
    np.savez_compressed(path, **said)
    with pytest.raises(SystemExit, match="different films"):
        table.tables(results)


def arguments(tmp_path, **changes):
    settings = {"results": tmp_path / "results", "runs": tmp_path / "runs", "first_seed": 0}
    settings |= {"arms": ["supervised", "aals", "cam"], "seeds": 2, "set": {"max_epochs": 2}}
    return argparse.Namespace(**settings | changes)


def test_what_is_kept_is_not_run_again(load, tmp_path):
    driver = load("aals_fracatlas")
    kept(load("aals_fracatlas_runs"), tmp_path, seeds=1)
    left = driver.jobs(arguments(tmp_path))
    assert [job.name for job in left] == ["cam_0", "supervised_1", "cam_1", "aals_1"]
    assert left[0].knobs == {"max_epochs": 2}
    first, then = driver.in_turn(left)
    assert [job.name for job in first] == ["cam_0", "supervised_1", "cam_1"]
    assert [job.name for job in then] == ["aals_1"]
    assert then[0].first_stage == tmp_path / "runs" / "supervised_1" / "run" / "first_stage"


def test_the_classifier_hears_only_of_its_own_knobs(load, tmp_path):
    driver = load("aals_fracatlas")
    args = arguments(tmp_path, set={"spatial_size": 64, "channels": 8}, seeds=1)
    told = {job.arm: driver.knobs_of(job) for job in driver.jobs(args)}
    assert (told["aals"]["spatial_size"], told["aals"]["channels"]) == (64, 8)
    assert told["aals"]["method"] == "aals"
    assert told["cam"]["spatial_size"] == 64
    assert "channels" not in told["cam"]
    assert {knobs["seed"] for knobs in told.values()} == {0}


def test_a_first_stage_that_was_not_kept_is_trained_for_its_row(load, tmp_path):
    driver = load("aals_fracatlas")
    kept(load("aals_fracatlas_runs"), tmp_path, seeds=1, arms=("supervised",))
    assert driver.jobs(arguments(tmp_path, seeds=1, arms=["supervised"])) != []


def test_a_first_stage_that_is_gone_stops_it(load, tmp_path):
    driver = load("aals_fracatlas")
    left = driver.jobs(arguments(tmp_path, arms=["aals"], seeds=1))
    with pytest.raises(SystemExit, match="supervised_0, whose run is gone"):
        driver.in_turn(left)
    left[0].first_stage.mkdir(parents=True)
    (left[0].first_stage / "model.pt").touch()
    assert driver.in_turn(left) == ([], left)


def random_candidates(random, hits, films=150):
    """One candidate per film; the first half of the films has one lesion each."""
    image = np.arange(films)
    lesions = (image < films // 2).astype(np.int64)
    good = (random.random(films) < hits) & (lesions > 0)
    score = random.normal(size=films) + 0.8 * good
    lesion = np.where(good, 0, -1)
    return Candidates(image, score, np.zeros((films, 4)), lesion, lesions)


def test_one_seed_is_what_the_library_says(load):
    table = load("aals_fracatlas_table")
    random = np.random.default_rng(3)
    one, other = random_candidates(random, 0.7), random_candidates(random, 0.4)
    mean, low, high = table.froc_mean([one])
    theirs = froc_score(one)
    assert mean == pytest.approx(theirs.estimate)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    gain = table.froc_gain([one], [other])
    theirs = froc_difference(one, other)
    assert gain == pytest.approx((theirs.estimate, theirs.low, theirs.high), abs=0.01)


def test_seeds_alone_spread_where_films_do_not(load):
    table = load("aals_fracatlas_table")
    found = table.error_over_seeds(np.array([0.1, 0.2, 0.6]), np.full((50, 3), 0.3), cases=40)
    assert found.error == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1) / math.sqrt(3))
    assert found.df == pytest.approx(2)


def test_many_seeds_are_as_the_library_has_them_for_auroc(load):
    """The formula of the seeds, fed with resamples of an AUROC, gives the library's interval."""
    table = load("aals_fracatlas_table")
    random = np.random.default_rng(5)
    films, seeds = 200, 4
    label = np.arange(films) % 2
    shared = random.normal(size=(2, films))
    logit = 1.0 * label + shared[:, None] + 0.8 * random.normal(size=(2, seeds, films))
    logit[0] += 0.5 * label
    prob = 1 / (1 + np.exp(-logit))

    def auroc(values):
        above = values[label == 1][:, None] > values[label == 0][None]

        def weighted(count):
            ones, zeros = count[:, label == 1], count[:, label == 0]
            return np.einsum("ri,ij,rj->r", ones, above, zeros) / (ones.sum(1) * zeros.sum(1))

        return weighted

    both = [(auroc(a), auroc(b)) for a, b in zip(*prob, strict=True)]
    once = np.ones((1, films), np.int64)
    values = np.array([(a(once) - b(once))[0] for a, b in both])
    drawn = bootstrap(lambda count: np.stack([a(count) - b(count) for a, b in both], 1), films)
    found = table.error_over_seeds(values, drawn, cases=films // 2)
    theirs = seeds_difference(
        "macro_auroc", prob[0][..., None], prob[1][..., None], label[:, None], activation="sigmoid"
    )
    assert values == pytest.approx(theirs.gains)
    half = (theirs.both.high - theirs.both.low) / 2
    assert table.student_quantile(0.95, found.df) * found.error == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize(
    ("shown", "drawn", "hidden"), [("few", 72, 479), ("all", 551, 0), ("labels", 0, 551)]
)
def test_only_the_boxes_that_may_be_seen_are_shown(load, tmp_path, shown, drawn, hidden):
    data = load("aals_fracatlas_data")
    if not data.FRACATLAS.exists():
        pytest.skip("needs the data set beside the project")
    rows = list(csv.DictReader((data.FRACATLAS / "datalist.csv").open(newline="")))
    hashes = tmp_path / "hashes.json"
    hashes.write_text(  # what pixels hash to does not matter here
        "{"
        + ",".join(f'"{row["image"]}": "{number:064x}"' for number, row in enumerate(rows))
        + "}"
    )
    made = data.make_datalist(shown, tmp_path / shown, hashes=hashes)
    groups = film_groups(made.sections["labeled"], made.findings)
    assert [groups.count(group) for group in (0, 1, 2, -1)] == [drawn, 551 - drawn, 1121, 0]
    assert sum("hidden_regions" in item for item in made.sections["labeled"]) == hidden
    for section, positive in (("validation", 79), ("test", 61)):
        items = made.sections[section]
        assert sum(bool(item["regions"]) for item in items) == positive
        assert all(bool(item["regions"]) == (item["label"] == [1]) for item in items)
        assert not any("hidden_regions" in item for item in items)


def test_another_choice_of_boxes_is_refused(load, tmp_path):
    with pytest.raises(ValueError, match="must be one of few, all, labels"):
        load("aals_fracatlas_data").make_datalist("some", tmp_path, hashes=tmp_path / "h.json")


def test_every_arm_that_is_trained_stands_in_the_table(load):
    table, trained = load("aals_fracatlas_table"), load("aals_fracatlas").ARMS
    assert set(table.ARMS) == {*trained, "first_stage"}
    assert {arm for pair in table.PAIRS for arm in pair} == set(table.ARMS)
