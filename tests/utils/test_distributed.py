# SPDX-License-Identifier: Apache-2.0
"""One mean over processes; what two processes make of it is in ``test_aals_processes``."""

import pytest
import torch

from monai_kd.utils import distributed
from monai_kd.utils.distributed import mean_over_processes


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
def test_one_process_divides_its_sum_by_its_count(dtype):
    total = torch.tensor(6.0, requires_grad=True)
    count = torch.tensor(4 if dtype != torch.bool else 1).to(dtype)
    mean = mean_over_processes(total, count)
    mean.backward()
    assert mean.item() == 6 / count.item()
    assert total.grad.item() == 1 / count.item()
    assert mean.dtype == torch.float32


def test_a_count_below_1_divides_too():
    assert mean_over_processes(torch.tensor(3.0), torch.tensor(1.0)).item() == 3


def test_nothing_counted_is_0_and_teaches_nothing():
    values = torch.randn(3, requires_grad=True)
    mean = mean_over_processes((values * 0).sum() + 5, torch.tensor(0))
    mean.backward()
    assert mean.item() == 0
    assert values.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("totals", "counts"),
    [((6.0, 3.0), (4, 2)), ((7.0, 0.0), (3, 0)), ((0.0, 0.0), (0, 0)), ((1.0, 2.0), (1, 0))],
)
def test_the_mean_of_the_parts_is_the_mean_of_all(totals, counts, monkeypatch):
    def add_up(counted):
        counted.fill_(sum(counts))

    monkeypatch.setattr(distributed, "_is_distributed", lambda: True)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "all_reduce", add_up)
    given = [torch.tensor(float(count)) for count in counts]
    parts = [
        mean_over_processes(torch.tensor(total), count)
        for total, count in zip(totals, given, strict=True)
    ]
    expected = sum(totals) / sum(counts) if sum(counts) else 0.0
    assert (sum(parts) / 2).item() == pytest.approx(expected)
    assert [count.item() for count in given] == list(counts)  # the caller's are left alone
