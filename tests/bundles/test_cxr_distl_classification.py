# SPDX-License-Identifier: Apache-2.0
"""The distl bundle: its form, and training, evaluation and inference through MONAI's workflow."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch

from monai_kd.networks import build_backbone
from monai_kd.utils import unknown_settings

SCHEMA = Path(__file__).parent / "meta_schema_20240725.json"
COMBINATIONS = [("train",), ("train", "evaluate"), ("train", "multi_gpu_train"), ("inference",)]


def merged(distl, names):
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(distl.config_files(*names))
    return {key: value for key, value in parser.get().items() if key != "_meta_"}


@pytest.fixture(scope="module")
def evolved(distl, growing, tmp_path_factory):
    """A run of two rounds with two comparators, evaluated, and its predictions."""
    folder = tmp_path_factory.mktemp("evolved")
    run, predictions = folder / "run", folder / "predictions"
    where = {"dataset_dir": growing, "output_dir": run}
    several = {"comparators": ["supervised", "fixmatch"], "start_epochs": 1}
    missing = [
        distl.run("train", **where, **distl.tiny, **several),
        distl.run("train", "evaluate", **where, pictures=2),
        distl.run("inference", dataset_dir=growing, model_dir=run, output_dir=predictions),
    ]

    class Evolved:
        pass

    done = Evolved()
    done.run, done.predictions, done.missing_properties = run, predictions, missing
    return done


def test_metadata_fits_the_schema_it_names(distl):
    from monai.bundle import verify_metadata

    metadata = distl.config("metadata")
    assert metadata["schema"].endswith(SCHEMA.name)
    path = str(distl.folder / "configs" / "metadata.json")
    verify_metadata(path, filepath=str(SCHEMA))
    assert metadata["version"] in metadata["changelog"]


def test_each_knob_has_a_row_in_the_readme(distl):
    config = distl.config("train")
    knobs = list(config)[1 : list(config).index("datalist")]
    assert {"method", "comparators", "rounds", "resume"} <= set(knobs)
    readme = (distl.folder / "docs" / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.lstrip().startswith("|")]
    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert [knob for knob in knobs if knob not in explained] == []


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_setting_has_a_reader(distl, names):
    # `evaluate` replaces the `run` that reads these two; they belong to the training
    idle = {"method_names", "settings"} if "evaluate" in names else set()
    assert set(unknown_settings(merged(distl, names))) == idle
    assert unknown_settings({**merged(distl, names), "epohcs": 2})[-1] == "epohcs"


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_no_config_holds_a_path_of_one_machine(distl, names):
    assert not re.search(r"[\"' ]/(home|tmp|work|root|mnt)/", json.dumps(merged(distl, names)))


def test_a_property_that_monai_asks_for_is_nowhere_missing(evolved):
    assert evolved.missing_properties == [[], [], []]


def test_a_run_leaves_all_its_files(evolved):
    names = {str(path.relative_to(evolved.run)) for path in evolved.run.rglob("*")}
    stages = ["start", "initial", "round_1", "round_2"]
    stages += [
        f"comparators/{name}/round_{n}" for name in ("supervised", "fixmatch") for n in (1, 2)
    ]
    for stage in stages:
        parts = ("hand_over.pt", "model.pt", "teacher.pt", "finished.json")
        assert names >= {f"{stage}/{part}" for part in parts}
    assert names >= {
        "SHA256SUMS",
        "config.json",
        "curves.png",
        "evaluation.json",
        "evolution.json",
        "metrics.csv",
        "model.pt",
        "model.safetensors",
        "predictions.csv",
        "report.html",
        "rounds.json",
        "validation_predictions.csv",
        "comparators/supervised/rounds.json",
        "rounds/distl_round_2_student.csv",
        "rounds/supervised_round_2_teacher.csv",
    }
    assert not [name for name in names if name.endswith((".tmp", "checkpoints", "best.pt"))]


def test_the_datalist_says_how_many_films_a_round_had(evolved, growing):
    listed = json.loads((growing / "datalist.json").read_text())
    rounds = json.loads((evolved.run / "rounds.json").read_text())["rounds"]
    first = len(listed["unlabeled_1"])
    assert [one["unlabeled"] for one in rounds] == [0, first, first + len(listed["unlabeled_2"])]
    assert [one["labeled"] for one in rounds] == [len(listed["labeled"])] * 3


def test_the_delivered_model_is_that_of_the_last_round_that_was_accepted(evolved):
    content = json.loads((evolved.run / "rounds.json").read_text())
    accepted = [one for one in content["rounds"] if one["accepted"]]
    assert content["delivered"] == accepted[-1]["round"]
    delivered = (evolved.run / "model.pt").read_bytes()
    assert delivered == (evolved.run / accepted[-1]["folder"] / "model.pt").read_bytes()


def test_metrics_hold_a_row_per_epoch_of_each_stage(distl, evolved):
    rows = distl.read_csv(evolved.run / "metrics.csv")
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        ("start", "1"),
        *((phase, epoch) for phase in ("initial", "round_1", "round_2") for epoch in "12"),
    ]
    assert all(math.isfinite(float(row["train_loss"])) for row in rows)
    # D1 for two epochs; the initial model has no pseudo labels to weigh
    weights = [row["pseudo_label_weight"] for row in rows if row["phase"] == "round_1"]
    assert weights == ["1", "2"]


def test_the_loss_of_a_round_is_the_weighted_sum_of_its_parts(distl, evolved):
    rows = [row for row in distl.read_csv(evolved.run / "metrics.csv") if "round" in row["phase"]]
    for row in rows:
        part = {k: float(row[f"train_{k}_loss"]) for k in ("self_supervision", "self_training")}
        alpha = float(row["pseudo_label_weight"])
        expected = 0.5 * part["self_supervision"] + 0.5 * alpha * part["self_training"]
        assert float(row["train_loss"]) == pytest.approx(expected, abs=1e-4)


def test_all_methods_start_from_one_initial_model(evolved):
    for name in (".", "comparators/supervised", "comparators/fixmatch"):
        rounds = json.loads((evolved.run / name / "rounds.json").read_text())["rounds"]
        start = evolved.run / name / rounds[0]["folder"]
        assert start.resolve() == (evolved.run / "initial").resolve()


def test_round_1_starts_teacher_and_student_from_the_initial_student(distl, growing, tmp_path):
    """With a learning rate of almost 0 nothing moves, so what was handed over can be seen."""
    still = {**distl.tiny, "rounds": 1, "max_epochs": 1, "learning_rate": 1e-12}
    run = tmp_path / "run"
    distl.run(
        "train", dataset_dir=growing, output_dir=run, **{**still, "initial_learning_rate": 1e-3}
    )
    initial = torch.load(run / "initial" / "hand_over.pt", weights_only=True)
    first = torch.load(run / "round_1" / "hand_over.pt", weights_only=True)
    for key, value in initial["student"].items():
        assert torch.equal(initial["teacher"][key], value)  # the one of its own is not used
        for which in ("student", "teacher"):
            torch.testing.assert_close(first[which][key], value, atol=1e-6, rtol=1e-5)


def test_predictions_hold_each_film_once(distl, evolved, growing):
    items = json.loads((growing / "datalist.json").read_text())["test"]
    for table in (
        evolved.run / "predictions.csv",
        evolved.predictions / "predictions.csv",
        evolved.run / "rounds" / "distl_round_1_student.csv",
    ):
        rows = distl.read_csv(table)
        assert [row["id"] for row in rows] == [item["id"] for item in items]
        assert all(0 <= float(row["prob_tuberculosis"]) <= 1 for row in rows)


def test_inference_and_evaluation_say_the_same(distl, evolved):
    tables = [
        distl.read_csv(folder / "predictions.csv") for folder in (evolved.run, evolved.predictions)
    ]
    first, second = ([float(row["prob_tuberculosis"]) for row in table] for table in tables)
    assert first == pytest.approx(second, abs=1e-5)


def test_the_model_loads_into_the_network_of_the_bundle_alone(evolved):
    network = build_backbone("vit_mini_patch8", num_findings=1, head="mlp")
    state = torch.load(evolved.run / "model.pt", weights_only=True)
    network.load_state_dict(state)
    assert not [name for name in state if "projector" in name]


def test_no_name_of_a_film_or_patient_is_left_in_a_run(evolved, growing):
    from monai_kd.data.phantom import FAKE_FAMILY_NAMES

    films = [path.stem for path in (growing / "dicom").glob("*.dcm")]
    secrets = re.compile("|".join([*FAKE_FAMILY_NAMES, *films, r"MRN\d"]).encode())
    for path in evolved.run.rglob("*"):
        if path.is_file() and path.suffix not in (".png", ".html"):
            assert not secrets.search(path.read_bytes()), path.name


def test_half_precision_trains_and_resumes(distl, growing, tmp_path):
    """What `precision auto` takes on many processors, and on a GPU."""
    run = tmp_path / "run"
    half = {**distl.tiny, "precision": "bfloat16", "rounds": 1, "max_epochs": 1}
    distl.run("train", dataset_dir=growing, output_dir=run, **half)
    rows = distl.read_csv(run / "metrics.csv")
    assert all(math.isfinite(float(row["train_loss"])) for row in rows)
    assert json.loads((run / "config.json").read_text())["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"local_size": 30}, "`local_size` must be a multiple of 8 .*got 30. Take 24 or 32"),
        ({"backbone": "vit_smal_patch8"}, "`backbone` must be one of .*mean `vit_small_patch8`"),
        ({"comparators": ["supervized"]}, "got supervized"),
    ],
)
def test_what_cannot_be_trained_is_said_before_any_work(distl, growing, tmp_path, wrong, message):
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="Failed to evaluate") as error:
        distl.run("train", dataset_dir=growing, output_dir=run, **{**distl.tiny, **wrong})
    assert re.search(message, str(error.value.__cause__))
    assert not run.exists()
