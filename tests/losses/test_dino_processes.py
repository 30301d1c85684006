# SPDX-License-Identifier: Apache-2.0
"""Two processes with half of the films each learn what one process learns from all."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from monai_kd.losses import DINOLoss

FILMS, VIEWS, PROTOTYPES = 4, 4, 11
HALF = """
import sys
import torch
import torch.distributed as dist
from monai_kd.losses import DINOLoss

rank, store, given, said = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
given = torch.load(given)
mine = {
    name: tensor.unflatten(0, (-1, 4))[:, 3 * rank : 3 + rank].flatten(0, 1)  # 3 films and 1 film
    if name.endswith("projection") else tensor
    for name, tensor in given.items()
}
mine["student_prototypes"].requires_grad_()
loss = DINOLoss(11)
for _ in range(2):
    loss(**mine).backward()
gradient = mine["student_prototypes"].grad * (3 - 2 * rank)  # its share of the films
dist.all_reduce(gradient)
torch.save([loss.center, gradient / 4], said + str(rank))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_center_and_gradients_are_those_of_one_process(tmp_path):
    torch.manual_seed(0)
    given = {
        "student_projection": F.normalize(torch.randn(VIEWS * FILMS, 6)),
        "student_prototypes": F.normalize(torch.randn(PROTOTYPES, 6)),
        "teacher_projection": F.normalize(torch.randn(2 * FILMS, 6)),
        "teacher_prototypes": F.normalize(torch.randn(PROTOTYPES, 6)),
    }
    torch.save(given, tmp_path / "given.pt")
    paths = [tmp_path / "store", tmp_path / "given.pt", tmp_path / "said"]
    started = [subprocess.Popen([sys.executable, "-c", HALF, str(rank), *paths]) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    given["student_prototypes"].requires_grad_()
    loss = DINOLoss(PROTOTYPES)
    for _ in range(2):
        loss(**given).backward()
    assert loss.center.abs().max() > 0.01
    for rank in (0, 1):
        center, gradient = torch.load(tmp_path / f"said{rank}")
        torch.testing.assert_close(center, loss.center)
        torch.testing.assert_close(gradient, given["student_prototypes"].grad)
