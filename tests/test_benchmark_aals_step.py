# SPDX-License-Identifier: Apache-2.0
"""Our step of aals equals the same step written plainly, and the plain one equals the reference."""

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
    for name in ("aals_step", "aals_ways", "aals_reference"):
        sys.modules.pop(name, None)


def test_the_plain_sharpening_gives_the_reference_map(load):
    # A4 of an independent script, strength 4, center 0.4.
    given = [0.02, 0.10, 0.35, 0.39, 0.41, 0.50, 0.55, 0.60, 0.05]
    found = load("aals_reference").sharpened(torch.tensor(given, dtype=torch.float64))
    expected = [*given[:4], 0.4220982658, 0.6192952811, 0.7166761875, 0.7987630650, 0.05]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_the_batch_has_the_published_kinds_of_films(load):
    ways = load("aals_ways")
    batch = ways.random_batch(ways.Settings(size=64), seed=0)
    asked = []

    class Teacher(torch.nn.Module):
        def forward(self, image):
            asked.append(len(image))
            return {"map_logits": torch.zeros(len(image), 2, 16, 16)}

    ways.MapsPrepareBatch(Teacher(), loss=ways.AALSLoss())(batch)
    assert asked == [2]
    drawn = batch["region_mask"].flatten(1).any(1)
    assert drawn.tolist() == [True] * 2 + [False] * 6
    assert batch["label"][:, 0].tolist() == [1] * 4 + [0] * 4


@pytest.mark.slow
def test_our_steps_are_those_of_the_plain_form(load):
    found = load("aals_step").compare(load("aals_ways").QUICK)
    assert found["first loss"] < 1e-5
    assert found["first gradients, largest"] < 1e-4
    assert found["later losses, largest"] < 1e-5
    # Adam makes full steps of gradients that are noise around 0.
    assert found["student's path"] < 5e-3
    assert found["teacher's path"] < 5e-3
