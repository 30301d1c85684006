# SPDX-License-Identifier: Apache-2.0
"""A network that has diverged ends in an empty summary and a line in the log, no traceback."""

from __future__ import annotations

import logging
import math

import pytest
import torch

from monai_kd.handlers import DecisionRegions, HeatMaps, Localization, WorstCases
from tests.handlers.small_evaluation import FINDINGS, SeesSpots, evaluate, films

SOFTMAX = {"findings": FINDINGS, "activation": "softmax"}


@pytest.fixture
def diverged():
    network = SeesSpots()
    torch.nn.init.constant_(network.gain.weight, math.nan)
    return network


def test_nothing_is_said_of_where_a_diverged_network_looks(diverged, tmp_path):
    handlers = (
        DecisionRegions(diverged, folder=tmp_path),
        Localization(diverged, tmp_path, **SOFTMAX),
        WorstCases(diverged, tmp_path, **SOFTMAX),
    )
    state = evaluate(diverged, [films([(4, 4)], [])], *handlers)
    assert state.summary == {}
    assert not list(tmp_path.rglob("*.png"))


def test_no_heat_map_is_drawn_and_the_log_says_why(diverged, tmp_path, caplog):
    maps = HeatMaps(diverged, folder=tmp_path, findings=FINDINGS, mean=0, sd=1)
    with caplog.at_level(logging.WARNING):
        evaluate(diverged, [films([(4, 4)])], maps)
    assert "no heat maps" in caplog.text
    assert not list(tmp_path.rglob("*.png"))
