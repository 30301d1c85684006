# SPDX-License-Identifier: Apache-2.0
"""The hkd bundle's methods and kinds of labels, and a teacher that is finished."""

from __future__ import annotations

import json
import logging
import re

import pytest
import torch


def train(hkd, archive, run, **changes):
    hkd.run(
        "train", dataset_dir=archive, output_dir=run, **{**hkd.tiny, "max_epochs": 1, **changes}
    )
    return hkd.read_csv(run / "metrics.csv")


def test_the_baseline_asks_no_teacher_and_needs_none(hkd, archive, tmp_path):
    rows = train(hkd, archive, tmp_path, method="baseline")
    assert [row["phase"] for row in rows] == ["student"]
    assert rows[0]["train_loss"] == rows[0]["train_classification_loss"]
    assert not (tmp_path / "teacher").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "part"), [("self_distillation", "feature"), ("soft_target", "soft")]
)
def test_a_method_with_a_teacher_trains_it_first(hkd, archive, tmp_path, method, part):
    rows = train(hkd, archive, tmp_path, method=method)
    assert [row["phase"] for row in rows] == ["teacher", "student"]
    parts = {name for name, value in rows[1].items() if re.match("train_.*_loss", name) and value}
    assert any(part in name for name in parts)


@pytest.mark.slow
def test_the_teacher_of_self_distillation_sees_whole_films(hkd, archive, tmp_path):
    train(hkd, archive, tmp_path / "self", method="self_distillation")
    train(hkd, archive, tmp_path / "hkd", method="hkd")
    # with whole films there is no region whose look could give a class away
    assert not (tmp_path / "self" / "teacher" / "leakage.json").exists()
    assert (tmp_path / "hkd" / "teacher" / "leakage.json").exists()
    states = [
        torch.load(tmp_path / name / "teacher" / "model.pt", weights_only=True)
        for name in ("self", "hkd")
    ]
    assert any(not torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_an_unknown_method_names_the_ones_there_are(hkd, archive, tmp_path):
    from monai_kd.utils import describe_error

    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        train(hkd, archive, tmp_path, method="hdk")
    said = describe_error(caught.value)
    assert "`method` must be one of hkd, self_distillation, soft_target, baseline" in said
    assert "Did you mean `hkd`?" in said


@pytest.fixture(scope="module")
def fractures(tmp_path_factory):
    """Independent findings; every third label of the second one is unknown."""
    from monai_kd.data import draw_phantom_archive

    folder = draw_phantom_archive(
        tmp_path_factory.mktemp("fractures"), images=60, size=64, task="fracture"
    )
    content = json.loads((folder / "datalist.json").read_text())
    content.pop("sha256")
    for item in content["labeled"][::3]:
        item["label"][1] = None
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


@pytest.mark.slow
def test_independent_findings_with_unknown_labels_train_to_the_end(hkd, fractures, tmp_path):
    rows = train(hkd, fractures, tmp_path / "run", region_weight=0.5)
    assert all(0 < float(row["train_loss"]) < 10 for row in rows)
    hkd.run("train", "evaluate", dataset_dir=fractures, output_dir=tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "evaluation.json").read_text())["sections"]["test"]
    assert summary["activation"] == "sigmoid"
    predictions = hkd.read_csv(tmp_path / "run" / "predictions.csv")
    sums = [sum(float(row[f"prob_{name}"]) for name in summary["findings"]) for row in predictions]
    assert max(abs(total - 1) for total in sums) > 1e-3  # not a softmax


@pytest.mark.slow
def test_a_finished_teacher_is_used_and_not_trained_again(hkd, archive, finished, tmp_path):
    teacher = finished.run / "teacher" / "model.pt"
    before = teacher.read_bytes()
    rows = train(hkd, archive, tmp_path / "run", teacher_path=str(teacher))
    assert [row["phase"] for row in rows] == ["student"]
    assert not (tmp_path / "run" / "teacher" / "model.pt").exists()
    assert teacher.read_bytes() == before
    leaks = [
        json.loads((run / "teacher" / "leakage.json").read_text())
        for run in (tmp_path / "run", finished.run)
    ]
    assert leaks[0] == leaks[1]  # the same teacher gives the same scores
    # the student that it teaches is the one that it taught when it had just been trained
    first = hkd.read_csv(finished.run / "metrics.csv")[1]
    again = train(
        hkd,
        archive,
        tmp_path / "same",
        teacher_path=str(teacher),
        region_weight=0.5,
        max_epochs=2,
    )[0]
    assert again["train_loss"] == first["train_loss"]


@pytest.mark.slow
def test_a_resumed_run_goes_on_and_leaves_its_finished_teacher_alone(
    hkd, archive, tmp_path, caplog
):
    train(hkd, archive, tmp_path)
    teacher = (tmp_path / "teacher" / "model.pt").read_bytes()
    with caplog.at_level(logging.INFO, "monai_kd"):
        rows = train(hkd, archive, tmp_path, max_epochs=2, resume=True)
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        ("teacher", "1"),
        ("student", "1"),
        ("student", "2"),
    ]
    assert (tmp_path / "teacher" / "model.pt").read_bytes() == teacher
    said = [r.getMessage() for r in caplog.records if r.name.endswith("record_metrics")]
    assert [line.split(":")[0] for line in said] == ["student epoch 2 of 2"]


def test_a_second_training_does_not_overwrite_the_first(hkd, archive, finished):
    from monai_kd.utils import describe_error

    before = (finished.run / "model.pt").read_bytes()
    with pytest.raises(
        Exception,
        match=r"Failed to evaluate|not a finite number|must keep its settings",
    ) as caught:
        train(hkd, archive, finished.run, region_weight=0.5)
    assert "`output_dir` already holds a run" in describe_error(caught.value)
    assert (finished.run / "model.pt").read_bytes() == before


@pytest.mark.slow
def test_the_teacher_learns_and_is_frozen_whichever_trainer_is_built_first(hkd, archive, tmp_path):
    """MONAI's property check builds the student's trainer, which freezes the teacher, first."""
    workflow = hkd.workflow(
        "train", dataset_dir=archive, output_dir=tmp_path, **{**hkd.tiny, "max_epochs": 1}
    )
    workflow.initialize()
    assert workflow.trainer is not None
    network = workflow.parser.get_parsed_content("teacher_network")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    workflow.run()
    after = network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_loss_that_is_not_a_number_stops_and_the_epoch_before_remains(hkd, archive, tmp_path):
    from monai_kd.utils import describe_error

    train(hkd, archive, tmp_path, method="baseline")
    checkpoint = (tmp_path / "checkpoints" / "last.pt").read_bytes()
    with pytest.raises(
        Exception,
        match=r"Failed to evaluate|not a finite number|must keep its settings",
    ) as caught:
        train(
            hkd,
            archive,
            tmp_path,
            method="baseline",
            max_epochs=8,
            resume=True,
            learning_rate=1e30,
        )
    said = describe_error(caught.value)
    assert "the loss is not a finite number in epoch 2" in said
    assert "The checkpoint of epoch 1 is untouched" in said
    assert "Lower `learning_rate`" in said
    assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == checkpoint
