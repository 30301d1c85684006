# SPDX-License-Identifier: Apache-2.0
"""The hkd bundle: its form, and training, evaluation and inference through MONAI's workflow."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import pytest
import torch

from monai_kd.utils import MonaiKDError, unknown_settings

SCHEMA = Path(__file__).parent / "meta_schema_20240725.json"
COMBINATIONS = [
    ("train",),
    ("train", "evaluate"),
    ("train", "multi_gpu_train"),
    ("inference",),
]


def merged(hkd, names):
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    files = hkd.config_files(*names)
    parser.read_config(files)
    return {key: value for key, value in parser.get().items() if key != "_meta_"}


def test_metadata_fits_the_schema_it_names(hkd, tmp_path):
    from monai.bundle import verify_metadata

    metadata = hkd.config("metadata")
    assert metadata["schema"].endswith(SCHEMA.name)
    metadata_file = str(hkd.folder / "configs" / "metadata.json")
    verify_metadata(metadata_file, filepath=str(SCHEMA))
    broken = tmp_path / "metadata.json"
    broken.write_text(json.dumps({key: metadata[key] for key in metadata if key != "authors"}))
    with pytest.raises(ValueError, match="'authors' is a required property"):
        verify_metadata(str(broken), filepath=str(SCHEMA))


def test_the_version_stands_in_the_changelog_and_is_that_of_the_package(hkd):
    import monai_kd

    metadata = hkd.config("metadata")
    assert metadata["version"] in metadata["changelog"]
    assert metadata["required_packages_version"]["monai-kd"] == monai_kd.__version__


def test_license_and_readme_are_there(hkd):
    assert "Apache License" in (hkd.folder / "LICENSE").read_text()
    assert (hkd.folder / "docs" / "README.md").is_file()


def test_each_knob_has_a_row_in_the_readme(hkd):
    config = hkd.config("train")
    knobs = list(config)[1 : list(config).index("datalist")]
    assert {"method", "max_epochs", "resume"} <= set(knobs)
    readme = (hkd.folder / "docs" / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.lstrip().startswith("|")]
    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert [knob for knob in knobs if knob not in explained] == []


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_setting_has_a_reader(hkd, names):
    # `evaluate` replaces the `run` that reads these two; they belong to the training
    idle = {"teacher_path", "settings"} if "evaluate" in names else set()
    assert set(unknown_settings(merged(hkd, names))) == idle
    assert unknown_settings({**merged(hkd, names), "epohcs": 2})[-1] == "epohcs"


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_no_config_holds_a_path_of_one_machine(hkd, names):
    assert not re.search(r"[\"' ]/(home|tmp|work|root|mnt)/", json.dumps(merged(hkd, names)))


def test_a_property_that_monai_asks_for_is_nowhere_missing(finished):
    assert finished.missing_properties == [[], [], []]


def test_a_run_leaves_all_its_files(finished):
    names = {str(path.relative_to(finished.run)) for path in finished.run.rglob("*")}
    assert names >= {
        "SHA256SUMS",
        "checkpoints/last.pt",
        "config.json",
        "curves.png",
        "MODEL_CARD.md",
        "CLAIM.md",
        "candidates.csv",
        "evaluation.json",
        "gray_histogram.json",
        "lesions.csv",
        "metrics.csv",
        "model.pt",
        "model.safetensors",
        "predictions.csv",
        "report.html",
        "teacher/SHA256SUMS",
        "teacher/checkpoints/last.pt",
        "teacher/leakage.json",
        "teacher/model.pt",
        "validation_predictions.csv",
    }
    assert not [name for name in names if name.endswith(".tmp")]
    assert list(finished.run.glob("pictures/*.png"))


def test_metrics_hold_a_row_per_epoch_of_teacher_and_student(hkd, finished):
    rows = hkd.read_csv(finished.run / "metrics.csv")
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        ("teacher", "1"),
        ("student", "1"),
        ("student", "2"),
    ]
    assert all(math.isfinite(float(row["train_loss"])) for row in rows)
    assert all(0 <= float(row["val_macro_auroc"]) <= 1 for row in rows)
    assert [row["feature_weight"] for row in rows] == ["", "0.5", "0.25"]  # linear, 2 epochs


def test_the_loss_is_the_weighted_sum_of_its_parts(hkd, finished):
    for row in hkd.read_csv(finished.run / "metrics.csv")[1:]:
        part = {name: float(row[f"train_{name}_loss"]) for name in ("feature", "region")}
        share = float(row["feature_weight"])
        expected = share * part["feature"] + (1 - share) * float(row["train_classification_loss"])
        assert float(row["train_loss"]) == pytest.approx(expected + 0.5 * part["region"], abs=1e-4)
        assert part["region"] > 0


def test_predictions_hold_each_test_film_once_and_probabilities(hkd, finished, archive):
    rows = hkd.read_csv(finished.run / "predictions.csv")
    items = json.loads((archive / "datalist.json").read_text())["test"]
    assert [row["id"] for row in rows] == [item["id"] for item in items]
    findings = ("healthy", "bacterial", "viral")
    for row, item in zip(rows, items, strict=True):
        assert [int(row[f"label_{name}"]) for name in findings] == item["label"]
        assert sum(float(row[f"prob_{name}"]) for name in findings) == pytest.approx(1, abs=1e-5)


def test_inference_says_what_the_evaluation_said(hkd, finished):
    evaluated = hkd.read_csv(finished.run / "predictions.csv")
    inferred = hkd.read_csv(finished.predictions / "predictions.csv")
    assert [row["id"] for row in inferred] == [row["id"] for row in evaluated]
    for ours, theirs in zip(inferred, evaluated, strict=True):
        assert ours["problem"] == ""
        # the evaluation reads films that are stored in 16 bits
        assert float(ours["prob_viral"]) == pytest.approx(float(theirs["prob_viral"]), abs=1e-3)


def test_inference_draws_one_heat_map_per_film(hkd, finished):
    drawn = {path.name.split("_")[0] for path in finished.predictions.glob("heat_maps/*.png")}
    rows = hkd.read_csv(finished.predictions / "predictions.csv")
    assert drawn == {row["id"] for row in rows}


def test_the_evaluation_is_that_of_the_predictions(hkd, finished):
    from sklearn.metrics import roc_auc_score

    rows = hkd.read_csv(finished.run / "predictions.csv")
    said = json.loads((finished.run / "evaluation.json").read_text())
    summary = said["sections"]["test"]
    assert summary["n"] == len(rows)
    for name in summary["findings"]:
        label = [int(row[f"label_{name}"]) for row in rows]
        prob = [float(row[f"prob_{name}"]) for row in rows]
        assert summary["auroc"][name] == pytest.approx(roc_auc_score(label, prob), abs=1e-6)
    assert sum(map(sum, summary["confusion_matrix"])) == len(rows)
    assert said["teacher"] == json.loads((finished.run / "teacher" / "leakage.json").read_text())


def test_thresholds_are_chosen_on_the_validation_films_of_the_delivered_model(
    hkd, finished, archive
):
    """Each operating point keeps its promise on validation, as counted from the table itself."""
    rows = hkd.read_csv(finished.run / "validation_predictions.csv")
    items = json.loads((archive / "datalist.json").read_text())["validation"]
    assert [row["id"] for row in rows] == [item["id"] for item in items]
    summary = json.loads((finished.run / "evaluation.json").read_text())["sections"]["test"]
    points = [point for point in summary["operating_points"] if "sensitivity" in point["goal"]]
    assert points
    for point in points:
        name = point["finding"]
        said = [float(row[f"prob_{name}"]) >= point["threshold"] for row in rows]
        present = [row[f"label_{name}"] == "1" for row in rows]
        hits = sum(s and p for s, p in zip(said, present, strict=True))
        assert hits / sum(present) == pytest.approx(point["validation"]["sensitivity"])
        assert hits / sum(present) >= float(point["goal"].split()[-1])


def test_the_evaluation_says_for_whom_and_where_and_what_went_worst(hkd, finished):
    rows = hkd.read_csv(finished.run / "predictions.csv")
    summary = json.loads((finished.run / "evaluation.json").read_text())["sections"]["test"]
    patients = {view: {r["patient_id"] for r in rows if r["view"] == view} for view in ("PA", "AP")}
    views = {group["group"] for group in summary["subgroups"] if group["by"] == "view"}
    assert views == {view for view, known in patients.items() if len(known) >= 10}
    assert summary["calibration"]["temperature"] > 0
    assert summary["decision_regions"]["control"]["n"] == summary["decision_regions"]["n"]
    assert set(summary["localization"]) == {"bacterial", "viral"}  # nobody marks healthy films
    losses = [film["loss"] for film in summary["worst_cases"]]
    assert losses == sorted(losses, reverse=True)
    drawn = {path.stem for path in finished.run.glob("pictures/worst/*.png")}
    assert drawn == {film["picture"] for film in summary["worst_cases"]}


def test_the_settings_of_the_training_stay_with_the_model(hkd, finished):
    settings = json.loads((finished.run / "config.json").read_text())
    for name in ("backbone", "spatial_size", "dropout", "max_epochs", "precision"):
        assert settings[name] == hkd.tiny[name]
    assert settings["region_weight"] == 0.5
    assert settings["findings"] == ["healthy", "bacterial", "viral"]
    assert "torch" in settings["versions"]


@pytest.mark.parametrize("folder", [".", "teacher"])
def test_the_checksums_are_right_and_both_formats_hold_the_same(finished, folder):
    from safetensors.torch import load_file

    run = finished.run / folder
    sums = dict(line.split("  ")[::-1] for line in (run / "SHA256SUMS").read_text().splitlines())
    assert sorted(sums) == ["model.pt", "model.safetensors"]
    for name, digest in sums.items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
    state = torch.load(run / "model.pt", weights_only=True)
    other = load_file(run / "model.safetensors")
    assert state.keys() == other.keys()
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_the_page_shows_the_run(finished):
    page = (finished.run / "report.html").read_text()
    assert "bacterial" in page
    assert "http://" not in re.sub(r"http://www\.w3\.org", "", page)


def test_a_film_in_two_sections_is_refused_with_counts(hkd, archive, tmp_path):
    content = json.loads((archive / "datalist.json").read_text())
    content["test"] = [*content["test"], content["labeled"][0]]
    content.pop("sha256")
    leaking = tmp_path / "leaking"
    leaking.mkdir()
    for name in ("dicom", "lung_masks"):
        (leaking / name).symlink_to(archive / name)
    (leaking / "datalist.json").write_text(json.dumps(content))
    workflow = hkd.workflow("train", dataset_dir=leaking, output_dir=tmp_path / "run", **hkd.tiny)
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        workflow.initialize()
    from monai_kd.utils import describe_error

    said = describe_error(caught.value)
    assert re.search(r"1 patient", said)
    assert content["labeled"][0]["patient_id"] not in said
    assert content["labeled"][0]["image"] not in said
    assert not (tmp_path / "run").exists()


def test_a_wrong_backbone_at_evaluation_is_one_sentence(hkd, finished, archive):
    workflow = hkd.workflow(
        "train", "evaluate", dataset_dir=archive, output_dir=finished.run, backbone="resnet10"
    )
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        workflow.initialize()
    from monai_kd.utils import describe_error, root_cause

    assert isinstance(root_cause(caught.value), MonaiKDError)
    said = describe_error(caught.value)
    assert "the model file does not fit" in said
    assert "`backbone` and the findings must be those of the training" in said


def test_an_evaluation_before_the_training_says_so(hkd, archive, tmp_path):
    workflow = hkd.workflow("train", "evaluate", dataset_dir=archive, output_dir=tmp_path)
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        workflow.initialize()
    from monai_kd.utils import describe_error

    assert "there is no trained model" in describe_error(caught.value)
