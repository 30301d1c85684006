# SPDX-License-Identifier: Apache-2.0
"""Killed in the middle of an epoch and resumed: the run that nobody disturbed, bit for bit."""

from __future__ import annotations

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


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_killed_in_an_epoch_and_resumed_is_the_undisturbed_run(
    hkd, archive, workers, undisturbed, tmp_path, phase
):
    run = tmp_path / "run"
    stage = run / "teacher" if phase == "teacher" else run
    kept = hkd.kill_after(
        stage / "checkpoints" / "last.pt", 1, output_dir=run, **settings(hkd, archive, workers)
    )
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
