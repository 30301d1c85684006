# SPDX-License-Identifier: Apache-2.0
"""Killed in the middle of an epoch and resumed: the run that nobody disturbed, bit for bit."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.slow
# Mixing of groups, geometry and noise are on.
SETTINGS = {"norm": "batch", "films_per_epoch": 32, "first_stage_epochs": 3, "max_epochs": 3}


def settings(aals, fractures, workers):
    return {**aals.tiny, **SETTINGS, "dataset_dir": fractures, "num_workers": workers}


@pytest.fixture(scope="module", params=[0, 2], ids=["no workers", "2 workers"])
def workers(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(aals, fractures, workers, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = aals.run_in_process("train", output_dir=run, **settings(aals, fractures, workers))
    assert done.returncode == 0, done.said
    return run


@pytest.mark.parametrize("phase", ["first_stage", "second_stage"])
def test_killed_in_an_epoch_and_resumed_is_the_undisturbed_run(
    aals, fractures, workers, undisturbed, tmp_path, phase
):
    run = tmp_path / "run"
    stage = run / "first_stage" if phase == "first_stage" else run
    kept = aals.kill_after(
        stage / "checkpoints" / "last.pt", 1, output_dir=run, **settings(aals, fractures, workers)
    )
    assert kept < 3, "killed too late to prove anything"
    resumed = aals.run_in_process(
        "train", output_dir=run, resume=True, **settings(aals, fractures, workers)
    )
    assert resumed.returncode == 0, resumed.said
    assert f"Resuming after epoch {kept} of 3." in resumed.said
    assert f"{phase} epoch {kept} of 3" not in resumed.said  # done once, not again
    for name in ("model.pt", "first_stage/model.pt"):
        expected = torch.load(undisturbed / name, weights_only=True)
        state = torch.load(run / name, weights_only=True)
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in expected), name
    last = [
        torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["parts"]
        for folder in (run, undisturbed)
    ]
    for part in ("student", "teacher"):
        assert all(torch.equal(last[0][part][key], last[1][part][key]) for key in last[1][part])
    for name in ("metrics.csv", "health.csv", "operating_points.json"):
        assert (run / name).read_text() == (undisturbed / name).read_text(), name
