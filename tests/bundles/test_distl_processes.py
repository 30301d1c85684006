# SPDX-License-Identifier: Apache-2.0
"""The distl bundle as a person runs it: in processes of its own, one or two at a time."""

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


def test_each_config_runs_from_the_root_of_the_project(distl, growing, tmp_path):
    root = str(distl.folder.relative_to(distl.root))
    where = {"bundle_root": root, "dataset_dir": growing, "folder": distl.root}
    run, predictions = tmp_path / "run", tmp_path / "predictions"
    trained = distl.run_in_process("train", output_dir=run, **where, **distl.tiny)
    assert trained.returncode == 0, trained.said
    assert "distl, round 2: validation macro AUROC" in trained.said
    evaluated = distl.run_in_process("train", "evaluate", output_dir=run, **where)
    assert evaluated.returncode == 0, evaluated.said
    films = json.loads((run / "evaluation.json").read_text())["sections"]["test"]["n"]
    inferred = distl.run_in_process("inference", model_dir=run, output_dir=predictions, **where)
    assert inferred.returncode == 0, inferred.said
    assert len(distl.read_csv(predictions / "predictions.csv")) == films


def test_two_processes_train_as_one_with_the_same_total_batch(distl, growing, tmp_path):
    """A network without batch statistics and without drop path, whose draws would differ."""
    settings = {
        **distl.tiny,
        "dataset_dir": growing,
        "drop_path": 0.0,
        "rounds": 1,
        "tolerance": 1.0,
        "correction_every": 2,
        "momentum": 0.9,
    }
    one = distl.run_in_process("train", output_dir=tmp_path / "one", **settings)
    assert one.returncode == 0, one.said
    two = distl.run_in_process(
        "train",
        "multi_gpu_train",
        launcher=TORCHRUN,
        output_dir=tmp_path / "two",
        **{**settings, "batch_size": settings["batch_size"] // 2},
    )
    assert two.returncode == 0, two.said
    rows = [distl.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two")]
    assert len(rows[0]) == len(rows[1]) == 4
    for name in ("train_loss", "val_cross_entropy"):
        losses = [[float(row[name]) for row in table] for table in rows]
        assert losses[1] == pytest.approx(losses[0], abs=2e-3), name
    ends = [
        torch.load(tmp_path / name / "round_1" / "hand_over.pt", weights_only=True)
        for name in ("one", "two")
    ]
    start = torch.load(tmp_path / "one" / "initial" / "hand_over.pt", weights_only=True)
    for which in ("student", "teacher"):
        moved = apart = 0.0
        for key, value in ends[0][which].items():
            moved += float((value - start["student"][key]).square().sum())
            apart += float((value - ends[1][which][key]).square().sum())
        assert apart < 0.01 * moved  # AdamW makes steps of one length out of the smallest noise
    assert two.said.count("distl, round 1: validation macro AUROC") == 1  # one speaks and writes


def test_a_datalist_with_too_few_rounds_is_refused_in_one_line(distl, growing, tmp_path):
    done = distl.run_in_process(
        "train", dataset_dir=growing, output_dir=tmp_path / "run", **{**distl.tiny, "rounds": 4}
    )
    assert done.returncode == 1
    said = [line for line in done.said.splitlines() if line.startswith("monai_kd: ")]
    assert "`rounds` must be at most the 3 unlabeled sections" in said[0]
    assert "Traceback" not in done.said
    assert not (tmp_path / "run").exists()
