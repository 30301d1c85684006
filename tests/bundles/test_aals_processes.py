# SPDX-License-Identifier: Apache-2.0
"""The aals bundle as a person runs it: in processes of its own, one or two at a time."""

from __future__ import annotations

import json

import pytest
import torch

pytestmark = pytest.mark.slow
TORCHRUN = (
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nnodes=1",
    "--nproc_per_node=2",
    "-m",
)


def test_each_config_runs_from_the_root_of_the_project(aals, fractures, tmp_path):
    root = str(aals.folder.relative_to(aals.root))
    where = {"bundle_root": root, "dataset_dir": fractures, "folder": aals.root}
    run, results = tmp_path / "run", tmp_path / "results"
    trained = aals.run_in_process("train", output_dir=run, **where, **aals.tiny)
    assert trained.returncode == 0, trained.said
    assert "second_stage epoch 2 of 2" in trained.said
    evaluated = aals.run_in_process("train", "evaluate", output_dir=run, **where)
    assert evaluated.returncode == 0, evaluated.said
    films = json.loads((run / "evaluation.json").read_text())["sections"]["test"]["n"]
    inferred = aals.run_in_process("inference", model_dir=run, output_dir=results, **where)
    assert inferred.returncode == 0, inferred.said
    assert len(aals.read_csv(results / "predictions.csv")) == films


def test_two_processes_train_as_one_with_the_same_total_batch(aals, fractures, tmp_path):
    """Batches of whole blocks (3 films in the first stage, 4 in the second), no batch statistics.

    The losses are means over maps that are spread unevenly: with two findings, a block has not
    the same number of drawn, absent and unknown ones each time.
    """
    settings = {
        **aals.tiny,
        "dataset_dir": fractures,
        "center": 0.01,
        "films_per_epoch": 48,
        "first_stage_epochs": 2,
        "max_epochs": 2,
        "learning_rate": 1e-4,
        "second_learning_rate": 1e-4,
    }
    one = aals.run_in_process("train", output_dir=tmp_path / "one", **settings | {"batch_size": 24})
    assert one.returncode == 0, one.said
    two = aals.run_in_process(
        "train",
        "multi_gpu_train",
        launcher=TORCHRUN,
        output_dir=tmp_path / "two",
        **settings | {"batch_size": 12},
    )
    assert two.returncode == 0, two.said
    rows = [aals.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two")]
    assert len(rows[0]) == len(rows[1]) == 4
    for name in ("train_loss", "train_supervised_loss", "val_cross_entropy"):
        losses = [[float(row[name]) for row in table] for table in rows]
        assert losses[1] == pytest.approx(losses[0], abs=1e-4), name
    ends = [
        torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=True)["parts"]
        for name in ("one", "two")
    ]
    start = torch.load(tmp_path / "one" / "first_stage" / "model.pt", weights_only=True)
    for which, prefix in (("student", "network."), ("teacher", "network.network.")):
        moved = apart = 0.0
        for key, value in start.items():
            end = ends[0][which][prefix + key]
            moved += float((end - value).square().sum())
            apart += float((end - ends[1][which][prefix + key]).square().sum())
        assert apart < 0.01 * moved, which  # Adam makes steps of one length out of the least noise
    assert two.said.count("second_stage epoch 2 of 2") == 1  # one process speaks and writes
    for name in ("model.pt", "first_stage/model.pt", "operating_points.json", "curves.png"):
        assert (tmp_path / "two" / name).is_file()


def test_a_film_that_nobody_drew_on_stops_the_training_in_one_line(aals, growing, tmp_path):
    done = aals.run_in_process("train", dataset_dir=growing, output_dir=tmp_path / "run")
    assert done.returncode == 1
    said = [line for line in done.said.splitlines() if line.startswith("monai_kd: ")]
    assert "films on which an expert drew a finding, got none" in said[0]
    assert "Traceback" not in done.said
    assert not (tmp_path / "run").exists()
