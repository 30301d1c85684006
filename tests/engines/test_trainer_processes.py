# SPDX-License-Identifier: Apache-2.0
"""Two processes with films of their own end an epoch with one teacher."""

import subprocess
import sys

import pytest
import torch

HALF = """
import sys
import torch
import torch.distributed as dist
from ignite.engine import Events
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from monai_kd.engines import DistillationTrainer
from monai_kd.networks import EMATeacher

rank, store, said = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 1))
teacher = EMATeacher(network)
student = DistributedDataParallel(network, broadcast_buffers=False)
torch.manual_seed(rank)  # films of its own
films = [{"image": rank + torch.rand(3, 1, 4, 4), "label": torch.zeros(3, 1)} for _ in range(3)]
trainer = DistillationTrainer(
    device="cpu",
    max_epochs=2,
    train_data_loader=films,
    network=student,
    teacher=teacher,
    optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
    loss_function=lambda student_logits, teacher_logits, label: student_logits.square().mean(),
)
seen = {}


@trainer.on(Events.ITERATION_COMPLETED)
def follow(engine):
    teacher.update(student, 0.5)
    if engine.state.iteration == 1:
        seen["amid an epoch"] = {name: b.clone() for name, b in teacher.named_buffers()}


@trainer.on(Events.EPOCH_COMPLETED)
def keep(engine):
    seen[engine.state.epoch] = {name: t.clone() for name, t in teacher.state_dict().items()}


trainer.run()
torch.save(seen, said + str(rank))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_all_processes_end_an_epoch_with_the_same_teacher(tmp_path):
    paths = [tmp_path / "store", tmp_path / "said"]
    started = [subprocess.Popen([sys.executable, "-c", HALF, str(rank), *paths]) for rank in (0, 1)]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    one, other = (torch.load(tmp_path / f"said{rank}") for rank in (0, 1))
    name = "network.1.running_mean"  # each process has seen films of its own
    assert not torch.equal(one["amid an epoch"][name], other["amid an epoch"][name])
    for epoch in (1, 2):
        assert name in one[epoch]
        for key, tensor in one[epoch].items():
            assert torch.equal(tensor, other[epoch][key]), (epoch, key)
    assert not torch.equal(one[1][name], one[2][name])
