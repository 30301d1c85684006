# SPDX-License-Identifier: Apache-2.0
"""What a stage hands over, what it refuses, and how its films are counted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from monai_kd.data import ArrivalSampler
from monai_kd.engines import ChosenLoss, RoundSettings, Stage, StageRunner
from monai_kd.networks import DINOHead, DISTLNetwork, EMATeacher, build_backbone
from monai_kd.utils import MonaiKDError


def network(seed, findings=1):
    torch.manual_seed(seed)
    backbone = build_backbone("resnet10-w16", num_findings=findings)
    return DISTLNetwork(backbone, DINOHead(128, prototypes=4, hidden=4, bottleneck=4))


def runner(student, *, teacher_seed=9, keep="last", films=10, batch=4):
    teacher = EMATeacher(student)
    teacher.network.load_state_dict(
        network(teacher_seed, student.network.fc.out_features).state_dict()
    )
    loader = SimpleNamespace(sampler=ArrivalSampler([0] * films, seed=0), batch_size=batch)
    trainer = SimpleNamespace(
        network=student,
        data_loader=loader,
        prepare_batch=SimpleNamespace(),
        objective=ChosenLoss(),
        add_event_handler=lambda *_: None,
    )
    others = ("correction", "evaluator", "predictions_csv", "validator", "record", "checkpoint")
    return StageRunner(
        trainer=trainer,
        teacher=teacher,
        stage=Stage(learning_rate=0.1),
        keep=keep,
        **{name: SimpleNamespace() for name in others},
    )


def same(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("hand_over", "student_is", "teacher_is"),
    [("each", 1, 9), ("student", 1, 1), ("teacher", 9, 9)],
)
def test_who_starts_from_whom(tmp_path, hand_over, student_is, teacher_is):
    runner(network(1)).save(tmp_path)
    later = runner(network(2), teacher_seed=3)
    later.load(tmp_path, hand_over=hand_over)
    assert same(later.student.state_dict(), network(student_is).state_dict())
    assert same(later.teacher.network.state_dict(), network(teacher_is).state_dict())


def test_the_models_that_are_written_are_the_backbones_alone(tmp_path):
    runner(network(1)).save(tmp_path)
    for name, seed in (("model.pt", 1), ("teacher.pt", 9)):
        state = torch.load(tmp_path / name, weights_only=True)
        assert same(state, network(seed).network.state_dict())
        assert state.keys() == network(seed).network.state_dict().keys()


def test_a_teacher_that_is_taught_is_the_student():
    one = runner(network(1))
    one.teach_teacher()
    assert same(one.teacher.network.state_dict(), one.student.state_dict())


def test_a_stage_of_another_network_is_refused(tmp_path):
    runner(network(1, findings=2)).save(tmp_path)
    with pytest.raises(MonaiKDError, match="the earlier stage must be of this network"):
        runner(network(1)).load(tmp_path)


def test_a_broken_file_names_its_stage_and_what_to_do(tmp_path):
    folder = tmp_path / "round_1"
    folder.mkdir()
    (folder / "hand_over.pt").write_bytes(b"half a file")
    with pytest.raises(MonaiKDError, match=r"round_1/hand_over\.pt .* Delete the folder round_1"):
        runner(network(1)).load(folder)


@pytest.mark.parametrize(("films", "steps"), [(10, 3), (12, 3), (13, 4), (1, 1)])
def test_steps_of_an_epoch(films, steps):
    assert runner(network(1)).steps_on(films) == steps


@pytest.mark.parametrize(
    ("every", "steps", "expected"),
    [(None, 40, 10), (None, 7, 2), (None, 1, 1), (0, 40, 0), (5, 40, 5)],
)
def test_corrections_come_four_times_an_epoch_unless_said_otherwise(every, steps, expected):
    assert runner(network(1)).correction_interval(every, steps) == expected


def test_refuses_settings_out_of_range():
    with pytest.raises(ValueError, match="`keep` must be one of last, best"):
        runner(network(1), keep="first")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rounds": -1}, "`rounds` must be at least 0, got -1"),
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"hand_over": "both"}, "`hand_over` must be one of each, student, teacher"),
        ({"deliver": "both"}, "`deliver` must be one of student, teacher"),
    ],
)
def test_settings_of_the_rounds_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        RoundSettings(**settings)
