# SPDX-License-Identifier: Apache-2.0
"""The aals bundle: its form, and training, evaluation and inference through MONAI's workflow."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch

from monai_kd.networks import build_aals_network
from monai_kd.utils import MonaiKDError, unknown_settings

SCHEMA = Path(__file__).parent / "meta_schema_20240725.json"
COMBINATIONS = [("train",), ("train", "evaluate"), ("train", "multi_gpu_train"), ("inference",)]
FINDINGS = ("rib_fracture", "clavicle_fracture")


def merged(aals, names):
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(aals.config_files(*names))
    return {key: value for key, value in parser.get().items() if key != "_meta_"}


@pytest.fixture(scope="module")
def trained(aals, fractures, tmp_path_factory):
    """A run of both stages, evaluated, and what inference says of the same films."""
    folder = tmp_path_factory.mktemp("trained")
    run, results = folder / "run", folder / "results"
    where = {"dataset_dir": fractures, "output_dir": run}
    missing = [
        aals.run("train", **where, **aals.tiny),
        aals.run("train", "evaluate", **where),
        aals.run("inference", dataset_dir=fractures, model_dir=run, output_dir=results),
    ]

    class Trained:
        pass

    done = Trained()
    done.run, done.results, done.missing_properties = run, results, missing
    return done


def test_metadata_fits_the_schema_it_names(aals):
    from monai.bundle import verify_metadata

    import monai_kd

    metadata = aals.config("metadata")
    assert metadata["schema"].endswith(SCHEMA.name)
    path = str(aals.folder / "configs" / "metadata.json")
    verify_metadata(path, filepath=str(SCHEMA))
    assert metadata["version"] in metadata["changelog"]
    assert metadata["required_packages_version"]["monai-kd"] == monai_kd.__version__


def test_each_knob_has_a_row_in_the_readme(aals):
    config = aals.config("train")
    knobs = list(config)[1 : list(config).index("datalist")]
    assert {"method", "strength", "ratio", "resume"} <= set(knobs)
    readme = (aals.folder / "docs" / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.lstrip().startswith("|")]
    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert [knob for knob in knobs if knob not in explained] == []


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_setting_has_a_reader(aals, names):
    # `evaluate` replaces what reads these two; the third is for exports
    idle = {"needs", "settings"} if "evaluate" in names else set()
    idle |= {"candidate_network"} if "inference" in names else set()
    assert set(unknown_settings(merged(aals, names))) == idle
    assert unknown_settings({**merged(aals, names), "epohcs": 2})[-1] == "epohcs"


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_no_config_holds_a_path_of_one_machine(aals, names):
    assert not re.search(r"[\"' ]/(home|tmp|work|root|mnt)/", json.dumps(merged(aals, names)))


def test_a_property_that_monai_asks_for_is_nowhere_missing(trained):
    assert trained.missing_properties == [[], [], []]


def test_a_run_leaves_all_its_files(trained):
    names = {str(path.relative_to(trained.run)) for path in trained.run.rglob("*")}
    assert names >= {
        "SHA256SUMS",
        "candidates.csv",
        "checkpoints/last.pt",
        "config.json",
        "curves.png",
        "evaluation.json",
        "first_stage/checkpoints/last.pt",
        "first_stage/model.pt",
        "lesions.csv",
        "metrics.csv",
        "model.pt",
        "model.safetensors",
        "operating_points.json",
        "predictions.csv",
        "report.html",
        "validation_predictions.csv",
    }
    assert not [name for name in names if name.endswith(".tmp")]


def test_metrics_hold_a_row_per_epoch_of_each_stage(aals, trained):
    rows = aals.read_csv(trained.run / "metrics.csv")
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        (phase, epoch) for phase in ("first_stage", "second_stage") for epoch in "12"
    ]
    assert all(math.isfinite(float(row["train_loss"])) for row in rows)
    assert all(0 <= float(row["val_macro_auroc"]) <= 1 for row in rows)
    assert all(0 <= float(row["val_froc_score"]) <= 1 for row in rows)


def test_the_loss_is_the_sum_of_its_parts(aals, trained):
    first, second = [], []
    for row in aals.read_csv(trained.run / "metrics.csv"):
        (first if row["phase"] == "first_stage" else second).append(row)
    for row in first:
        assert float(row["train_loss"]) == pytest.approx(float(row["train_supervised_loss"]))
        assert not row.get("train_distillation_loss")
    for row in second:
        parts = [float(row[f"train_{name}_loss"]) for name in ("supervised", "distillation")]
        assert parts[1] > 0
        assert float(row["train_loss"]) == pytest.approx(sum(parts), abs=1e-5)


def test_the_second_stage_starts_where_the_first_was_best(aals, fractures, tmp_path):
    """With a learning rate of almost 0 nothing moves, so what was handed over can be seen."""
    run = tmp_path / "run"
    still = {**aals.tiny, "second_learning_rate": 1e-12, "max_epochs": 1}
    aals.run("train", dataset_dir=fractures, output_dir=run, **still)
    best = torch.load(run / "first_stage" / "model.pt", weights_only=True)
    parts = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["parts"]
    for key, value in best.items():
        for which, name in (("student", f"network.{key}"), ("teacher", f"network.network.{key}")):
            torch.testing.assert_close(parts[which][name], value, atol=1e-5, rtol=1e-4)


def test_a_finished_first_stage_is_taken_and_not_trained_again(aals, fractures, trained, tmp_path):
    run = tmp_path / "run"
    given = {**aals.tiny, "first_stage_path": trained.run / "first_stage" / "model.pt"}
    aals.run("train", dataset_dir=fractures, output_dir=run, **given)
    assert {row["phase"] for row in aals.read_csv(run / "metrics.csv")} == {"second_stage"}
    assert not (run / "first_stage").exists()
    for name in ("student", "teacher"):  # the same second stage, from the same start
        first, second = (
            torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["parts"][name]
            for folder in (trained.run, run)
        )
        assert all(torch.equal(first[key], second[key]) for key in first), name


@pytest.fixture(scope="module")
def second_stage(aals, fractures, trained, tmp_path_factory):
    """Train the second stage alone by a method; return its run and its only row of metrics."""

    def train(method, center=0.003):  # an untrained teacher's peaks are above it
        run = tmp_path_factory.mktemp(method) / "run"
        given = {
            **aals.tiny,
            "method": method,
            "center": center,
            "strength": 2.0,
            "max_epochs": 1,
            "first_stage_path": trained.run / "first_stage" / "model.pt",
        }
        aals.run("train", dataset_dir=fractures, output_dir=run, **given)
        return run, aals.read_csv(run / "metrics.csv")[0]

    return train


@pytest.fixture(scope="module")
def sharpened(second_stage):
    return second_stage("aals")[1]


@pytest.mark.parametrize("method", ["mean_teacher", "constant", "hard"])
def test_each_comparison_trains_and_differs(second_stage, sharpened, method):
    run, row = second_stage(method)
    assert float(row["train_distillation_loss"]) != float(sharpened["train_distillation_loss"])
    assert json.loads((run / "config.json").read_text())["method"] == method


def test_below_the_center_symmetric_sharpening_alone_does_something(second_stage):
    rows = [second_stage(method, 0.5)[1] for method in ("mean_teacher", "aals", "symmetric")]
    losses = [float(row["train_distillation_loss"]) for row in rows]
    assert losses[0] == losses[1] != losses[2]


def test_supervised_goes_on_without_a_teacher(second_stage):
    _, row = second_stage("supervised")
    assert not row.get("train_distillation_loss")


def test_operating_points_are_chosen_on_validation(trained):
    chosen = json.loads((trained.run / "operating_points.json").read_text())
    evaluation = json.loads((trained.run / "evaluation.json").read_text())
    assert evaluation["operating_points"] == chosen  # also where it is evaluated elsewhere
    points = chosen["findings"]
    assert set(points) <= set(FINDINGS)
    assert points
    for point in points.values():
        assert point["dotted"]["threshold"] <= point["solid"]["threshold"]


def test_predictions_hold_each_film_once_and_inference_agrees(aals, trained, fractures):
    items = json.loads((fractures / "datalist.json").read_text())["test"]
    tables = [
        aals.read_csv(folder / "predictions.csv") for folder in (trained.run, trained.results)
    ]
    for rows in tables:
        assert [row["id"] for row in rows] == [item["id"] for item in items]
    for name in FINDINGS:
        first, second = ([float(row[f"prob_{name}"]) for row in rows] for rows in tables)
        assert first == pytest.approx(second, abs=1e-5)


def test_the_student_can_be_delivered(aals, fractures, tmp_path):
    run = tmp_path / "run"
    one = {**aals.tiny, "deliver": "student", "first_stage_epochs": 1, "max_epochs": 1}
    aals.run("train", dataset_dir=fractures, output_dir=run, **one)
    parts = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["parts"]
    model = torch.load(run / "model.pt", weights_only=True)
    assert all(torch.equal(model[key], parts["student"][f"network.{key}"]) for key in model)
    teacher = parts["teacher"]
    assert any(not torch.equal(model[key], teacher[f"network.network.{key}"]) for key in model)


def test_the_model_loads_into_the_network_alone(trained):
    network = build_aals_network("resnet10-w16", num_findings=2, channels=16, norm="group")
    network.load_state_dict(torch.load(trained.run / "model.pt", weights_only=True))


def test_no_name_of_a_film_or_patient_is_left_in_a_run(trained, fractures):
    from monai_kd.data.phantom import FAKE_FAMILY_NAMES

    films = [path.stem for path in (fractures / "dicom").glob("*.dcm")]
    secrets = re.compile("|".join([*FAKE_FAMILY_NAMES, *films, r"MRN\d"]).encode())
    for folder in (trained.run, trained.results):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix not in (".png", ".html", ".dcm"):
                assert not secrets.search(path.read_bytes()), path.name


def test_half_precision_trains(aals, fractures, tmp_path):
    run = tmp_path / "run"
    half = {**aals.tiny, "precision": "bfloat16", "norm": "batch"}
    aals.run("train", dataset_dir=fractures, output_dir=run, **half)
    rows = aals.read_csv(run / "metrics.csv")
    assert all(math.isfinite(float(row["train_loss"])) for row in rows)
    assert json.loads((run / "config.json").read_text())["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "aalls"}, "`method` must be one of .*got 'aalls'.*mean `aals`"),
        ({"backbone": "convnext_tiny"}, "`name` must be a ResNet, got 'convnext_tiny'"),
        ({"deliver": "techer"}, "`deliver` must be one of .*mean `teacher`"),
        ({"choose_by": "auc"}, "`choose_by` must be one of auroc, froc, got 'auc'"),
        ({"center": 1.4}, r"`center` must be in \(0, 1\), got 1.4"),
    ],
)
def test_what_cannot_be_trained_is_said_before_any_work(aals, fractures, tmp_path, wrong, message):
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="Failed to") as error:
        aals.run("train", dataset_dir=fractures, output_dir=run, **{**aals.tiny, **wrong})
    assert re.search(message, str(error.value.__cause__))
    assert not run.exists()


def test_findings_that_exclude_each_other_are_refused_in_one_sentence(aals, archive, tmp_path):
    with pytest.raises(RuntimeError, match="Failed to") as error:
        aals.run("train", dataset_dir=archive, output_dir=tmp_path / "run", **aals.tiny)
    assert isinstance(error.value.__cause__, MonaiKDError)
    assert re.search("must be independent of each other", str(error.value.__cause__))
