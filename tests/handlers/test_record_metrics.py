# SPDX-License-Identifier: Apache-2.0
"""What TensorBoard reads is what the run did, once."""

import socket
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from monai_kd.handlers import RecordMetrics


def train(folder, *, epochs, done=0, loss=1.0, stop_after=None):
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(loss * engine.state.epoch)})
    engine.objective = SimpleNamespace(parts={})
    RecordMetrics(folder, phase="student").attach(engine)

    @engine.on(Events.STARTED)
    def resume(engine):
        engine.state.epoch = engine.state.iteration = done

    @engine.on(Events.EPOCH_COMPLETED)
    def fail(engine):
        if engine.state.epoch == stop_after:
            raise ValueError("stopped")

    engine.run([0], max_epochs=epochs)


def read(folder):
    """Return what TensorBoard itself shows: (epoch, value)."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard" / "student"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("train_loss")]


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch):
    monkeypatch.setattr("monai_kd.handlers.record_metrics.draw_curves", lambda *_: None)


def test_a_run_has_one_event_file_with_all_its_epochs(tmp_path):
    train(tmp_path, epochs=3)
    assert read(tmp_path) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    (file,) = (tmp_path / "tensorboard" / "student").iterdir()
    assert socket.gethostname() not in file.name


def test_a_resumed_run_replaces_the_epochs_that_it_repeats(tmp_path):
    train(tmp_path, epochs=3)
    train(tmp_path, epochs=4, done=1, loss=10.0)
    assert read(tmp_path) == [(1, 1.0), (2, 20.0), (3, 30.0), (4, 40.0)]
    assert len(list((tmp_path / "tensorboard" / "student").iterdir())) == 2


def test_an_error_in_training_is_still_an_error_and_loses_no_epoch(tmp_path):
    with pytest.raises(ValueError, match="stopped"):
        train(tmp_path, epochs=3, stop_after=2)
    assert read(tmp_path) == [(1, 1.0), (2, 2.0)]


def test_the_same_engine_run_again_starts_a_file_of_its_own(tmp_path):
    engine = Engine(lambda *_: {"loss": torch.tensor(1.0)})
    RecordMetrics(tmp_path, phase="student").attach(engine)
    engine.run([0], max_epochs=1)
    engine.run([0], max_epochs=1)
    assert read(tmp_path) == [(1, 1.0)]
    assert len(list((tmp_path / "tensorboard" / "student").iterdir())) == 2
