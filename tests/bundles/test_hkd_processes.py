# SPDX-License-Identifier: Apache-2.0
"""The hkd bundle as a person runs it: in processes of its own, one or two at a time."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.slow
TORCHRUN = (
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nnodes=1",
    "--nproc_per_node=2",
    "-m",
)


@pytest.mark.parametrize("place", ["bundle", "root"])
def test_each_config_runs_from_the_bundle_and_from_the_root(hkd, archive, tmp_path, place):
    folder = hkd.folder if place == "bundle" else hkd.root
    root = {} if place == "bundle" else {"bundle_root": str(hkd.folder.relative_to(hkd.root))}
    where = {**root, "dataset_dir": archive, "folder": folder}
    run = tmp_path / "run"
    trained = hkd.run_in_process("train", output_dir=run, **where, **hkd.tiny)
    assert trained.returncode == 0, trained.said
    assert "student epoch 2 of 2" in trained.said
    evaluated = hkd.run_in_process("train", "evaluate", output_dir=run, **where)
    assert evaluated.returncode == 0, evaluated.said
    assert json.loads((run / "evaluation.json").read_text())["sections"]["test"]["n"] == 15
    predictions = tmp_path / "predictions"
    inferred = hkd.run_in_process("inference", model_dir=run, output_dir=predictions, **where)
    assert inferred.returncode == 0, inferred.said
    assert len(hkd.read_csv(predictions / "predictions.csv")) == 15


def test_two_processes_train_as_one_with_the_same_total_batch(hkd, archive, tmp_path):
    """One iteration per epoch: the rows of metrics.csv are the losses of the first iterations.

    ConvNeXt has no batch statistics, which two processes would take over half a batch each.
    """
    settings = {
        **hkd.tiny,
        "dataset_dir": archive,
        "backbone": "convnext_tiny",
        "spatial_size": 32,
        "dropout": 0.0,
        "teacher_network::dropout": 0.0,
        "teacher_epochs": 5,
        "max_epochs": 5,
        "kd_epochs": 5,
        "learning_rate": 1e-5,
    }
    one = hkd.run_in_process("train", output_dir=tmp_path / "one", **{**settings, "batch_size": 38})
    assert one.returncode == 0, one.said
    two = hkd.run_in_process(
        "train",
        "multi_gpu_train",
        launcher=TORCHRUN,
        output_dir=tmp_path / "two",
        **{**settings, "batch_size": 19},
    )
    assert two.returncode == 0, two.said
    rows = [hkd.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two")]
    assert len(rows[0]) == len(rows[1]) == 10
    losses = [[float(row["train_loss"]) for row in table] for table in rows]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert max(losses[0][:5]) - min(losses[0][:5]) > 0.01  # the weights do move
    assert two.said.count("student epoch 5 of 5") == 1  # one process speaks and writes
    for name in ("model.pt", "teacher/model.pt", "teacher/leakage.json", "curves.png"):
        assert (tmp_path / "two" / name).is_file()


def test_a_mistyped_setting_fails_in_one_line_before_any_work(hkd, archive, tmp_path):
    done = hkd.run_in_process("train", dataset_dir=archive, output_dir=tmp_path / "run", epohcs=2)
    assert done.returncode == 1
    said = [line for line in done.said.splitlines() if line.startswith("monai_kd: ")]
    assert "unknown setting `epohcs`." in said[0]
    assert re.search("Did you mean .*`max_epochs`", said[0])
    assert "Traceback" not in done.said
    assert not (tmp_path / "run").exists()


def test_a_wrong_keyword_in_a_config_shows_its_cause_in_one_line_first(hkd, archive, tmp_path):
    done = hkd.run_in_process(
        "train",
        dataset_dir=archive,
        output_dir=tmp_path / "run",
        **{**hkd.tiny, "train::dataset::fingerprints": "1"},
    )
    assert done.returncode == 1
    said = [line for line in done.said.splitlines() if line.startswith("monai_kd: ")]
    assert "fingerprints" in said[0]
    assert "Traceback" not in done.said
