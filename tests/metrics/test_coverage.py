# SPDX-License-Identifier: Apache-2.0
"""Intervals hold the truth as often as they say, for patients with several images.

The whole table, with 200 and 1000 images and three findings, is ``benchmarks/coverage.py``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_coverage", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.LARGE = 400_000
    return module


@pytest.mark.slow
@pytest.mark.parametrize("images", [50, 200])
def test_95_percent_intervals_hold_the_truth_in_93_to_97_percent(benchmark, images):
    found = benchmark.coverage(benchmark.one_finding, images, simulations=2000)
    assert len(found) == 19
    for name, (share, undefined) in found.items():
        # A standard error of chance is 0.5; with 8 patients of a class some are cautious.
        cautious = images == 50 or "equal" in name
        assert 92.5 <= share <= (99.5 if cautious else 97.5), name
        assert undefined < (12 if "drop" in name else 1), name


@pytest.mark.slow
def test_where_a_finding_is_rare_intervals_are_cautious_rather_than_too_narrow(benchmark):
    # 200 images, six sick patients: recalls of 0 and 1 and perfect rankings are common.
    found = benchmark.coverage(benchmark.rare_finding, 200, simulations=1000)
    for name, (share, _) in found.items():
        ranks = name.startswith("macro_auroc")  # six patients do not show how they spread
        assert share >= (90 if ranks else 92), name
    assert found["balanced_accuracy"][0] <= 98


@pytest.mark.slow
def test_one_sick_patient_or_two_do_not_make_balanced_accuracy_certain(benchmark):
    found = benchmark.coverage(benchmark.rare_finding, 50, simulations=500)
    for name in ("balanced_accuracy", "macro_f1", "macro_auroc", "macro_auprc"):
        assert found[name][0] >= 93, name
