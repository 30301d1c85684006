# SPDX-License-Identifier: Apache-2.0
"""Killed in the middle of an epoch and resumed: the run that nobody disturbed, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
import torch

pytestmark = pytest.mark.slow
# Shuffling, strong augmentation and dropout are on.
SETTINGS = {
    "augmentation": "strong",
    "batch_size": 4,
    "dropout": 0.3,
    "teacher_epochs": 3,
    "max_epochs": 3,
    "kd_epochs": 3,
}


def settings(hkd, archive, workers):
    return {**hkd.tiny, **SETTINGS, "dataset_dir": archive, "num_workers": workers}


@pytest.fixture(scope="module", params=[0, 2], ids=["no workers", "2 workers"])
def workers(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(hkd, archive, workers, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = hkd.run_in_process("train", output_dir=run, **settings(hkd, archive, workers))
    assert done.returncode == 0, done.said
    return run


def kill_after(hkd, archive, workers, run, phase, epoch):
    """Kill -9 a training while it is in the epoch after ``epoch`` of ``phase``."""
    process = subprocess.Popen(
        hkd.command("train", output_dir=run, **settings(hkd, archive, workers)),
        cwd=hkd.folder,
        env=hkd.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        checkpoint = run / ("teacher" if phase == "teacher" else ".") / "checkpoints" / "last.pt"
        _wait_for_epoch(process, checkpoint, epoch)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return torch.load(checkpoint, weights_only=True)["epoch"]


def _wait_for_epoch(process, checkpoint, epoch):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoint.exists() and torch.load(checkpoint, weights_only=True)["epoch"] >= epoch:
            return
        time.sleep(0.01)
    pytest.fail("the training ended, or hung, before it could be killed")


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_killed_in_an_epoch_and_resumed_is_the_undisturbed_run(
    hkd, archive, workers, undisturbed, tmp_path, phase
):
    run = tmp_path / "run"
    kept = kill_after(hkd, archive, workers, run, phase, epoch=1)
    assert kept < 3, "killed too late to prove anything"
    resumed = hkd.run_in_process(
        "train", output_dir=run, resume=True, **settings(hkd, archive, workers)
    )
    assert resumed.returncode == 0, resumed.said
    assert f"Resuming after epoch {kept} of 3." in resumed.said
    assert f"{phase} epoch {kept} of 3" not in resumed.said  # done once, not again
    for name in ("model.pt", "teacher/model.pt"):
        expected = torch.load(undisturbed / name, weights_only=True)
        state = torch.load(run / name, weights_only=True)
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in expected), name
    last = [
        torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["parts"]["network"]
        for folder in (run, undisturbed)
    ]
    assert all(torch.equal(last[0][key], last[1][key]) for key in last[1])
    assert (run / "metrics.csv").read_text() == (undisturbed / "metrics.csv").read_text()
