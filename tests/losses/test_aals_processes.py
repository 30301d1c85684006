# SPDX-License-Identifier: Apache-2.0
"""Two processes with uneven shares of the known maps learn what one process learns from all."""

import subprocess
import sys

import pytest
import torch

from monai_kd.losses import AALSLoss
from monai_kd.networks import WithMaps, build_aals_network

NAN = float("nan")
# The second process has one film: drawn in one finding, absent in the other, so nothing to fill in.
SHARES = (slice(0, 4), slice(4, 5))
LOSS = {"distillation_weight": 0.5, "positive_weight": 3.0}
LOSS_OF_HALF = """
import sys
import torch
import torch.distributed as dist
from monai_kd.losses import AALSLoss

rank, store, given, said = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
settings, batches = torch.load(given)
loss, found = AALSLoss(**settings), []
for shares in batches:
    mine = shares[rank]
    mine["student_map_logits"].requires_grad_()
    total = loss(**mine)
    total.backward()
    parts = [total.detach(), loss.parts["supervised"], loss.parts["distillation"]]
    found.append([torch.stack(parts), mine["student_map_logits"].grad])
torch.save(found, said + str(rank))
dist.destroy_process_group()
"""
STEP_OF_HALF = """
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from monai_kd.losses import AALSLoss
from monai_kd.networks import WithMaps, build_aals_network

rank, store, given, said = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
settings, shares, state = torch.load(given)
network = build_aals_network("resnet10-w16", num_findings=2, channels=16, norm="group")
network.load_state_dict(state)
student = DistributedDataParallel(WithMaps(network), find_unused_parameters=False)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
loss, mine = AALSLoss(**settings), shares[rank]
image = mine.pop("image")
for _ in range(2):  # an unused parameter is an error in the second
    optimizer.zero_grad()
    loss(student_map_logits=student(image)["map_logits"], **mine).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    optimizer.step()
torch.save([network.state_dict(), silent], said + str(rank))
dist.destroy_process_group()
"""


def batch(seed, *, side=4, unknown=()):
    """Five films of two findings: one drawn in one finding of two, absent, pseudo, unknown."""
    torch.manual_seed(seed)
    label = torch.tensor([[1.0, 1.0], [0, NAN], [1, 1], [NAN, 0], [1, 0]])
    label[list(unknown)] = NAN
    mask = torch.zeros(5, 2, 4 * side, 4 * side)
    mask[0, 0, 2:9, 3:11] = mask[4, 0, 5:14, 1:8] = 1
    looked = torch.tensor([[True] * 2, [False] * 2, [False] * 2, [False] * 2, [True] * 2])
    looked[list(unknown)] = False
    return {
        "label": label,
        "region_mask": mask,
        "region_annotated": looked,
        "region_drawn": mask.flatten(2).any(2),
        "teacher_map_logits": torch.randn(5, 2, side, side),
    }


def shares_of(given):
    return [{name: tensor[share] for name, tensor in given.items()} for share in SHARES]


def run(script, folder, given):
    torch.save(given, folder / "given.pt")
    paths = [folder / "store", folder / "given.pt", folder / "said"]
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(rank), *paths]) for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    return [torch.load(folder / f"said{rank}") for rank in (0, 1)]


@pytest.mark.slow
def test_loss_parts_and_gradients_are_those_of_one_process(tmp_path):
    batches = [
        batch(0),
        batch(1, unknown=[4]),  # one process knows nothing
        batch(2, unknown=[0, 2]),  # nobody has a map for the teacher
        batch(3, unknown=range(5)),  # nobody knows anything
    ]
    for given in batches:
        given["student_map_logits"] = torch.randn(5, 2, 4, 4)
    said = run(LOSS_OF_HALF, tmp_path, [LOSS, [shares_of(given) for given in batches]])
    for number, given in enumerate(batches):
        loss = AALSLoss(**LOSS)
        given["student_map_logits"].requires_grad_()
        total = loss(**given)
        total.backward()
        expected = torch.stack([total.detach(), *loss.parts.values()])
        found = [said[rank][number] for rank in (0, 1)]
        torch.testing.assert_close((found[0][0] + found[1][0]) / 2, expected)
        gradient = torch.cat([found[0][1], found[1][1]]) / 2
        torch.testing.assert_close(gradient, given["student_map_logits"].grad)
        assert (expected > 0).tolist() == [number < 3, number < 3, number < 2]


@pytest.mark.slow
def test_two_training_steps_are_those_of_one_process(tmp_path):
    given = batch(0, side=8)
    given["image"] = torch.rand(5, 1, 32, 32)
    torch.manual_seed(0)
    network = build_aals_network("resnet10-w16", num_findings=2, channels=16, norm="group")
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    said = run(STEP_OF_HALF, tmp_path, [LOSS, shares_of(given), start])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss, image = AALSLoss(**LOSS), given.pop("image")
    for _ in range(2):
        optimizer.zero_grad()
        loss(student_map_logits=WithMaps(network)(image)["map_logits"], **given).backward()
        optimizer.step()
    alone = network.state_dict()
    assert all(not torch.equal(alone[name], start[name]) for name in alone)
    for state, silent in said:
        assert silent == []
        for name, tensor in alone.items():
            moved = tensor - start[name]
            limit = 1e-4 * moved.abs().max().item()
            torch.testing.assert_close(state[name] - start[name], moved, rtol=1e-4, atol=limit)
