# SPDX-License-Identifier: Apache-2.0
"""Killed in the middle of round 2 and resumed: the run that nobody disturbed, bit for bit."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import pytest
import torch

pytestmark = pytest.mark.slow
COMPARATOR = {"comparators": "['mean_teacher']", "keep": "best"}


def settings(distl, growing):
    # fewer films in a batch than there are labeled ones, so that an order has several batches
    return {**distl.tiny, "dataset_dir": growing, "max_epochs": 3, "batch_size": 4, **COMPARATOR}


@pytest.fixture(scope="module")
def undisturbed(distl, growing, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = distl.run_in_process("train", output_dir=run, **settings(distl, growing))
    assert done.returncode == 0, done.said
    return run


def kill_in(distl, growing, run, stage, *, after_epoch):
    """Kill -9 a training while it is in the epoch after ``after_epoch`` of a stage."""
    process = subprocess.Popen(
        distl.command("train", output_dir=run, **settings(distl, growing)),
        cwd=distl.folder,
        env=distl.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    checkpoint = run / stage / "checkpoints" / "last.pt"
    deadline = time.monotonic() + 300
    epoch = 0
    try:
        while time.monotonic() < deadline and process.poll() is None and epoch < after_epoch:
            time.sleep(0.005)
            if checkpoint.exists():
                epoch = torch.load(checkpoint, weights_only=True)["epoch"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert epoch == after_epoch, "killed too early or too late to prove anything"
    assert not (run / stage / "finished.json").exists()


@pytest.mark.parametrize("stage", ["round_2", "comparators/mean_teacher/round_1"])
def test_killed_in_a_round_and_resumed_is_the_undisturbed_run(
    distl, growing, undisturbed, tmp_path, stage
):
    run = tmp_path / "run"
    kill_in(distl, growing, run, stage, after_epoch=1)
    refused = distl.run_in_process("train", output_dir=run, **settings(distl, growing))
    assert refused.returncode == 1
    assert "`output_dir` already holds a run" in refused.said
    resumed = distl.run_in_process("train", output_dir=run, resume=True, **settings(distl, growing))
    assert resumed.returncode == 0, resumed.said
    assert "Resuming after epoch 1 of 3." in resumed.said
    assert "initial (supervised): finished earlier." in resumed.said
    ends = ["round_1", "round_2", "comparators/mean_teacher/round_2"]
    for name in (
        "model.pt",
        *(f"{end}/{part}" for end in ends for part in ("hand_over.pt", "model.pt")),
    ):
        expected = _flat(torch.load(undisturbed / name, weights_only=True))
        state = _flat(torch.load(run / name, weights_only=True))
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in expected), name
    for name in (
        "metrics.csv",
        "rounds.json",
        "comparators/mean_teacher/metrics.csv",
        "health.csv",
    ):
        assert (run / name).read_text() == (undisturbed / name).read_text(), name


def _flat(state):
    nested = {key: value for key, value in state.items() if isinstance(value, dict)}
    flat = {key: value for key, value in state.items() if key not in nested}
    return flat | {f"{k}.{name}": v for k, part in nested.items() for name, v in part.items()}


def test_the_films_of_another_year_go_on_from_the_rounds_that_are_there(
    distl, growing, undisturbed, tmp_path
):
    """The archive as it was after the first year, then as it is: the run that had both at once."""
    archive, run = tmp_path / "archive", tmp_path / "run"
    shutil.copytree(growing, archive)
    listed = json.loads((growing / "datalist.json").read_text())
    del listed["sha256"]  # of the file list, which changes
    first_year = {k: v for k, v in listed.items() if k not in ("unlabeled_2", "unlabeled_3")}
    (archive / "datalist.json").write_text(json.dumps(first_year))
    years = {**settings(distl, archive), "comparators": "[]"}
    done = distl.run_in_process("train", output_dir=run, **{**years, "rounds": 1})
    assert done.returncode == 0, done.said
    (archive / "datalist.json").write_text(json.dumps(listed))
    more = distl.run_in_process("train", output_dir=run, resume=True, **years)
    assert more.returncode == 0, more.said
    assert "round_1 (distl): finished earlier." in more.said
    assert json.loads((run / "config.json").read_text())["resumed"][0]["after_round"] == 1
    for name in ("round_1/hand_over.pt", "round_2/hand_over.pt"):
        expected = _flat(torch.load(undisturbed / name, weights_only=True))
        state = _flat(torch.load(run / name, weights_only=True))
        assert all(torch.equal(state[key], expected[key]) for key in expected), name
