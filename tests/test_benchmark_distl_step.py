# SPDX-License-Identifier: Apache-2.0
"""Our DISTL step equals the same step written plainly, and the plain one equals the publication."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in ("distl_step", "distl_ways", "distl_reference"):
        sys.modules.pop(name, None)


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_plain_loss_gives_the_numbers_of_the_published_functions(load):
    # D3 and D4 of an independent script that agrees with the published code; identity prototypes.
    plain = load("distl_reference")
    student = {
        "projection": rows(
            [0.10, -0.05, 0.02],
            [0, 0.08, -0.03],
            [0.05, 0.01, -0.02],
            [-0.04, 0.06, 0],
            [0.12, -0.10, 0.03],
            [0.02, 0.03, -0.07],
        ),
        "prototypes": torch.eye(3, dtype=torch.float64),
        "logits_noised": rows([1.2], [-0.7]),
    }
    teacher = {
        "projection": rows(
            [0.09, -0.02, 0.01], [-0.01, 0.07, 0], [0.06, 0, -0.01], [-0.03, 0.05, 0.02]
        ),
        "prototypes": torch.eye(3, dtype=torch.float64),
        "logits_original": rows([2.0], [-0.3]),
    }
    start = torch.zeros(1, 3, dtype=torch.float64)
    loss, center = plain.distl_loss(student, teacher, start, lam=1.0)
    assert loss.item() == pytest.approx(0.8915593254, abs=1e-9)
    assert center.tolist()[0] == pytest.approx([0.00275, 0.0025, 0.0005], abs=1e-9)
    again, center = plain.distl_loss(student, teacher, center, lam=1.0)
    assert again.item() == pytest.approx(0.8974666601, abs=1e-9)
    assert center.tolist()[0] == pytest.approx([0.005225, 0.00475, 0.00095], abs=1e-9)
    soft, _ = plain.distl_loss(student, teacher, start, lam=0.0)
    assert soft.item() == pytest.approx(0.5537011304, abs=1e-9)


def test_plain_clipping_is_tensor_by_tensor(load):
    long, short = torch.zeros(2), torch.zeros(2)
    long.grad, short.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    load("distl_reference").clip([long, short])
    assert long.grad.tolist() == pytest.approx([1.79999964, 2.39999952], abs=1e-6)
    assert short.grad.tolist() == pytest.approx([0.3, 0.4])


def test_the_plain_network_has_as_many_parameters_as_published(load):
    plain = load("distl_reference")
    with torch.device("meta"):
        vit = plain.PlainViT(384, 12, 6, 8, findings=1, drop_path=0.1)
        network = plain.PlainNetwork(vit, dim=384, prototypes=65536, hidden=2048, bottleneck=256)

    def count(module, trained=False):
        return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)

    two_channels = 2 * 8 * 8 * 384  # published with 3 equal channels, here 1
    assert count(vit) - count(vit.head) + two_channels == 21_670_272
    assert count(network.projector) == 22_352_128
    assert count(network.projector, trained=True) == 22_286_592
    assert count(vit.head) == 164_609


def test_published_work_per_film_is_0_8_teraflop(load):
    needed_flops, settings = load("distl_step").needed_flops, load("distl_ways").Settings()
    assert needed_flops(settings, plain=True) == pytest.approx(0.80e12, rel=0.01)
    assert 0.85 < needed_flops(settings) / needed_flops(settings, plain=True) < 0.95


@pytest.mark.slow
def test_our_steps_are_those_of_the_plain_form(load):
    found = load("distl_step").compare(load("distl_ways").QUICK)
    assert found["first loss"] < 1e-5
    assert found["first gradients, largest"] < 1e-4
    assert found["later losses, largest"] < 1e-5
    # AdamW makes full steps of gradients that are noise around 0, such as those of the keys' bias.
    assert found["student's path"] < 5e-3
    assert found["teacher's path"] < 5e-3
