# SPDX-License-Identifier: Apache-2.0
"""A run that is cut off and resumed is the run that was not."""

import contextlib
import errno
import math

import pytest
import torch
from ignite.engine import Events
from torch import nn
from torch.utils.data import DataLoader

from monai_kd.data import EpochSampler
from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import KeepBest, RunCheckpoint
from monai_kd.losses import ClassificationLoss
from monai_kd.utils import MonaiKDError


class Films(torch.utils.data.Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, key):
        epoch, index = key
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        image = torch.rand(1, 4, 4, generator=generator)
        return {"image": image, "label": torch.eye(2)[index % 2]}


def run(folder, epochs, *, resume=False, stop_at=None, width=8, batch_size=4):
    """Train a network with dropout; ``stop_at`` breaks off in that iteration."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(16, width), nn.BatchNorm1d(width), nn.Dropout(), nn.Linear(width, 2)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    sampler = EpochSampler(12, shuffle=True, seed=0)
    trainer = DistillationTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=DataLoader(Films(), batch_size=batch_size, sampler=sampler),
        network=network,
        optimizer=optimizer,
        loss_function=ClassificationLoss(activation="softmax"),
    )
    validator = trainer  # stands for an evaluator: its metrics are set below
    best = KeepBest(network, validator=validator, folder=folder)

    @trainer.on(Events.EPOCH_COMPLETED)
    def metric(engine):
        engine.state.metrics["val_cross_entropy"] = abs(engine.state.epoch - 2)

    if stop_at:

        @trainer.on(Events.ITERATION_STARTED(once=stop_at))
        def stop(engine):
            raise KeyboardInterrupt

    best.attach(trainer)
    RunCheckpoint(
        {"network": network, "optimizer": optimizer, "best": best}, folder=folder, resume=resume
    ).attach(trainer)
    with contextlib.suppress(KeyboardInterrupt):
        trainer.run()
    return network, best, trainer


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_resuming_gives_the_same_bits(tmp_path):
    whole, best, _ = run(tmp_path / "whole", 4)
    run(tmp_path / "cut", 4, stop_at=8)  # in the middle of epoch 3
    torch.rand(7)
    resumed, resumed_best, trainer = run(tmp_path / "cut", 4, resume=True)
    assert trainer.state.epoch == 4
    assert same(whole, resumed)
    assert resumed_best.state_dict() == best.state_dict()
    assert (tmp_path / "cut" / "SHA256SUMS").read_text() == (
        tmp_path / "whole" / "SHA256SUMS"
    ).read_text()


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    first, _, _ = run(tmp_path, 2)
    again, _, trainer = run(tmp_path, 2, resume=True)
    assert same(first, again)
    assert trainer.state.iteration == 6


def test_a_finished_run_can_be_made_longer(tmp_path):
    whole, _, _ = run(tmp_path / "whole", 3)
    run(tmp_path / "short", 2)
    longer, _, _ = run(tmp_path / "short", 3, resume=True)
    assert same(whole, longer)


def test_refuses_to_overwrite_a_run(tmp_path):
    run(tmp_path, 1)
    with pytest.raises(MonaiKDError, match=r"already holds a run\. Set `resume` to True"):
        run(tmp_path, 1)


def test_says_that_the_settings_differ(tmp_path):
    run(tmp_path, 1)
    with pytest.raises(MonaiKDError, match="written with other settings"):
        run(tmp_path, 1, resume=True, width=9)


def test_says_that_the_checkpoint_is_broken(tmp_path):
    run(tmp_path, 1)
    (tmp_path / "checkpoints" / "last.pt").write_bytes(b"half a file")
    with pytest.raises(MonaiKDError, match="cannot be read"):
        run(tmp_path, 1, resume=True)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    run(tmp_path, 1)
    before = (tmp_path / "checkpoints" / "last.pt").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr("monai_kd.handlers.keep_best.save_model", lambda *_: None)
    with pytest.raises(MonaiKDError, match=r"epoch 2 could not be written .*disk full"):
        run(tmp_path, 2, resume=True)
    assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == before
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.pt"]


def test_the_checkpoint_loads_safely_and_names_nothing(tmp_path):
    run(tmp_path, 1)
    state = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)
    assert sorted(state) == ["epoch", "iteration", "parts", "random", "scaler"]


@pytest.mark.parametrize("batch_size", [2, 12])
def test_another_batch_size_still_trains_every_epoch(tmp_path, batch_size):
    run(tmp_path, 2)
    _, _, trainer = run(tmp_path, 4, resume=True, batch_size=batch_size)
    assert trainer.state.epoch == 4
    assert trainer.state.iteration == 4 * 12 // batch_size


def test_weights_that_are_no_numbers_never_replace_a_checkpoint(tmp_path):
    network, _, trainer = run(tmp_path, 1)
    before = (tmp_path / "checkpoints" / "last.pt").read_bytes()
    nn.init.constant_(network[1].weight, math.inf)
    with pytest.raises(MonaiKDError, match="weights are not finite numbers after epoch 1"):
        RunCheckpoint({"network": network}, folder=tmp_path, resume=True)(trainer)
    assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == before
