# SPDX-License-Identifier: Apache-2.0
"""Each handler does one thing on one event."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from safetensors.torch import load_file
from torch import nn

from monai_kd.handlers import (
    ClipGradients,
    EMATeacherHandler,
    KeepBest,
    RecordMetrics,
    ScheduleHandler,
    StopOnNaN,
    TerminalProgress,
    clip_each_tensor,
    ends_in_optimizer_step,
    optimizer_steps_before,
    set_attribute,
    set_learning_rate,
)
from monai_kd.networks import EMATeacher
from monai_kd.utils import MonaiKDError, linear


def engine_at(iteration=1, epoch=1, length=None, every=1, **more):
    state = SimpleNamespace(iteration=iteration, epoch=epoch, epoch_length=length, max_epochs=9)
    return SimpleNamespace(state=state, accumulation_steps=every, **more)


@pytest.mark.parametrize(
    ("every", "moves"),
    [
        pytest.param(1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], id="no accumulation"),
        pytest.param(2, [2, 4, 5, 7, 9, 10], id="the rest of an epoch is not left over"),
        pytest.param(5, [5, 10], id="as long as the epoch"),
    ],
)
def test_the_optimizer_moves_where_monai_says(every, moves):
    steps = [i for i in range(1, 11) if ends_in_optimizer_step(engine_at(i, length=5, every=every))]
    assert steps == moves


def test_optimizer_steps_are_counted_across_epochs():
    # Epochs of 5 iterations, 2 to a step: steps end in iterations 2, 4, 5, 7, 9, 10.
    counts = [optimizer_steps_before(engine_at(i, length=5, every=2)) for i in range(1, 12)]
    assert counts == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 6]


# Oracle: DISTL's own clip, vector D5.
def test_each_tensor_is_clipped_alone():
    long, short, bare = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    long.grad, short.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    clip_each_tensor([long, short, bare], 3.0)
    torch.testing.assert_close(long.grad, torch.tensor([1.79999964, 2.39999952]))
    assert short.grad.tolist() == pytest.approx([0.3, 0.4])


@pytest.mark.parametrize("norm_of", ["all", "each"])
def test_gradients_are_clipped_when_the_optimizer_is_about_to_move(norm_of):
    network = nn.Linear(1, 1, bias=False)
    network.weight.grad = torch.tensor([[10.0]])
    clip = ClipGradients(2.0, norm_of=norm_of)
    clip(engine_at(1, length=4, every=2, network=network))
    assert network.weight.grad.item() == 10
    clip(engine_at(2, length=4, every=2, network=network))
    assert network.weight.grad.item() == pytest.approx(2.0, rel=1e-5)


def test_gradients_are_unscaled_before_they_are_measured():
    network = nn.Linear(1, 1, bias=False)
    network.weight.grad = torch.tensor([[8.0]])

    class Scaler:
        def unscale_(self, optimizer):
            network.weight.grad /= 8

    ClipGradients(2.0)(engine_at(network=network, scaler=Scaler(), optimizer=None))
    assert network.weight.grad.item() == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_norm": 0.0}, "`max_norm` must be above 0, got 0.0"),
        ({"max_norm": 1.0, "norm_of": "any"}, "`norm_of` must be one of all, each"),
    ],
)
def test_refuses_to_clip_to_nothing(settings, message):
    with pytest.raises(ValueError, match=message):
        ClipGradients(**settings)


@pytest.mark.parametrize(("by", "values"), [("epoch", [1.0, 0.5]), ("iteration", [1, 0.5, 0, 0])])
def test_a_schedule_is_asked_from_zero(by, values):
    seen = []
    engine = Engine(lambda *_: None)
    ScheduleHandler("w", schedule=linear(1.0, 0.0, steps=2), set_value=seen.append, by=by).attach(
        engine
    )
    engine.run([0, 1], max_epochs=2)
    assert seen == values
    assert engine.state.w == values[-1]


def test_the_learning_rate_reaches_every_group():
    optimizer = torch.optim.SGD(
        [{"params": nn.Linear(1, 1).weight}, {"params": nn.Linear(1, 1).bias, "lr_scale": 0.1}], 1.0
    )
    set_learning_rate(optimizer)(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]


def test_only_attributes_that_exist_are_set():
    with pytest.raises(AttributeError, match="Linear has no attribute `feature_weight`"):
        set_attribute(nn.Linear(1, 1), "feature_weight")


def test_the_teacher_moves_when_the_optimizer_did():
    student, teacher = nn.Linear(1, 1, bias=False), EMATeacher(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        student.weight.fill_(1.0)
        next(teacher.parameters()).fill_(0.0)
    handler = EMATeacherHandler(teacher, student, momentum=lambda iteration: 1 - 0.25 * iteration)
    engine = engine_at(1, length=4, every=2)
    handler(engine)
    assert next(teacher.parameters()).item() == 0
    engine.state.iteration = 2
    handler(engine)
    assert next(teacher.parameters()).item() == 0.5
    assert engine.state.ema_momentum == 0.5


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(loss):
    engine = engine_at(7, 3, objective=SimpleNamespace(parts={"feature": torch.tensor(loss)}))
    engine.state.output = {"loss": torch.tensor(loss)}
    with pytest.raises(MonaiKDError, match=r"epoch 3, iteration 7 \(parts: feature (nan|inf)\)"):
        StopOnNaN()(engine)


def test_a_finite_loss_goes_on():
    engine = engine_at()
    engine.state.output = {"loss": torch.tensor(3.0)}
    watch = StopOnNaN()
    watch(engine)
    watch.look(engine)


def keep(tmp_path, values, **settings):
    """Run one epoch per value of the metric; the weight is the epoch's number."""
    network = nn.Linear(1, 1, bias=False)
    engine = Engine(lambda *_: None)
    best = KeepBest(network, validator=engine, folder=tmp_path, metric="m", **settings)

    @engine.on(Events.EPOCH_COMPLETED)
    def set_metric(engine):
        nn.init.constant_(network.weight, engine.state.epoch)
        engine.state.metrics["m"] = values[engine.state.epoch - 1]

    best.attach(engine)
    engine.run([0], max_epochs=len(values))
    return torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item(), best


@pytest.mark.parametrize(
    ("values", "mode", "epoch"),
    [
        pytest.param([3, 1, 2], "min", 2, id="lowest"),
        pytest.param([3, 5, 2], "max", 2, id="highest"),
        pytest.param([math.nan, 0.6, 0.9], "max", 3, id="a first NaN does not lock"),
        pytest.param([0.6, math.nan, 0.5], "max", 1, id="a later NaN does not win"),
        pytest.param([1, 1, 1], "min", 1, id="the first of equals"),
    ],
)
def test_the_best_epoch_is_delivered(tmp_path, values, mode, epoch):
    weight, best = keep(tmp_path, values, mode=mode)
    assert weight == best.best_epoch == epoch
    assert load_file(tmp_path / "model.safetensors")["weight"].item() == epoch


def test_what_an_earlier_training_left_goes_with_its_model(tmp_path):
    for name in ("model.safetensors", "SHA256SUMS"):
        (tmp_path / name).write_text("of another model")
    engine = Engine(lambda *_: None)
    network = nn.Linear(1, 1)
    best = KeepBest(network, validator=engine, folder=tmp_path, metric="m")
    engine.state.metrics = {"m": 1.0}
    engine.state.epoch = 1
    best(engine)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_without_a_number_the_last_epoch_is_delivered_and_said(tmp_path, caplog):
    weight, _ = keep(tmp_path, [math.nan, math.nan])
    assert weight == 2
    assert "`m` was never a number" in caplog.text


def test_one_row_per_epoch_and_none_twice(tmp_path):
    def train(epochs, start):
        engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(batch))})
        engine.objective = SimpleNamespace(parts={"feature": torch.tensor(0.5)})
        RecordMetrics(tmp_path, phase="student").attach(engine)

        @engine.on(Events.STARTED)
        def resume(engine):
            engine.state.epoch = start
            engine.state.iteration = 2 * start

        engine.run([1, 3], max_epochs=epochs)

    train(2, 0)
    train(3, 1)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {row["train_loss"] for row in rows} == {"2"}
    assert {row["train_feature_loss"] for row in rows} == {"0.5"}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard" / "student").iterdir())


def test_a_log_file_sees_no_bar(capsys):
    engine = Engine(lambda *_: {"loss": 1.0})
    TerminalProgress("student").attach(engine)
    engine.run([0, 1], max_epochs=1)
    assert capsys.readouterr().err == ""
