# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import time

import pytest
import torch

from monai_kd.utils import choose_precision, precision


@pytest.fixture(autouse=True)
def _forget():
    precision.bfloat16_speedup.cache_clear()
    yield
    precision.bfloat16_speedup.cache_clear()


def pretend(monkeypatch, *, float32, bfloat16):
    """Make a training step take so many seconds; return the list of formats that were timed."""
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    timed = []

    def measure(network, image, dtype):
        timed.append(dtype)
        return seconds[dtype]

    monkeypatch.setattr(precision, "_time_one_step", measure)
    return timed


@pytest.mark.parametrize(
    ("bfloat16", "expected"),
    [(3.0, "float32"), (1.0, "float32"), (0.84, "float32"), (0.83, "bfloat16"), (0.3, "bfloat16")],
)
def test_auto_takes_bfloat16_only_where_it_is_clearly_faster(monkeypatch, bfloat16, expected):
    pretend(monkeypatch, float32=1.0, bfloat16=bfloat16)
    assert choose_precision("auto", "cpu") == expected


def test_both_formats_are_timed_in_turn_and_only_once(monkeypatch):
    timed = pretend(monkeypatch, float32=1.0, bfloat16=1.0)
    choose_precision("auto", "cpu")
    choose_precision("auto", torch.device("cpu"))
    assert timed == [torch.float32, torch.bfloat16] * 6


def test_one_disturbed_round_decides_nothing(monkeypatch):
    rounds = iter([1.0, 1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 0.9, 1.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(precision, "_time_one_step", lambda *_: next(rounds))
    assert precision.bfloat16_speedup() == 1.0


def test_a_busy_machine_does_not_count():
    before = precision._seconds()
    time.sleep(0.05)
    assert precision._seconds() - before < 0.02


def test_the_decision_and_the_ratio_are_logged(monkeypatch, caplog):
    pretend(monkeypatch, float32=1.0, bfloat16=0.5)
    with caplog.at_level(logging.INFO, logger="monai_kd.utils.precision"):
        choose_precision("auto", "cpu")
    assert "precision: bfloat16 (bfloat16 is 2.00 times as fast" in caplog.text


@pytest.mark.parametrize("precision_", ["float32", "bfloat16", "float16"])
def test_a_wish_is_followed_without_measuring(monkeypatch, precision_):
    timed = pretend(monkeypatch, float32=1.0, bfloat16=9.0)
    assert choose_precision(precision_, "cpu") == precision_
    assert timed == []


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_a_gpu_gets_the_half_precision_it_has(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", "cuda:0") == expected


def test_other_devices_get_float32():
    assert choose_precision("auto", "mps") == "float32"


def test_refuses_another_format_and_names_the_nearest():
    with pytest.raises(ValueError, match=r"`precision` must be one of .*Did you mean `bfloat16`"):
        choose_precision("bfloat", "cpu")


def test_measuring_leaves_random_numbers_and_gradients_mode_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with torch.no_grad():
        assert precision.bfloat16_speedup() > 0
    torch.testing.assert_close(torch.rand(3), expected)
