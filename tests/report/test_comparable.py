# SPDX-License-Identifier: Apache-2.0
"""A baseline stands beside a run only with the same findings of the same films."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monai_kd.metrics import Predictions
from monai_kd.report.comparable import why_not_comparable
from monai_kd.report.run_files import RunFiles


def made(n=4, *, findings=("a", "b"), section="test", first="i0", label=1.0):
    keys = [first, *(f"i{number}" for number in range(1, n))]
    truth = np.full((n, len(findings)), label)
    table = Predictions(list(findings), keys, None, truth, np.full(truth.shape, 0.5))
    summary = {"findings": list(findings), "n": n}
    return RunFiles(Path(), evaluation={"sections": {section: summary}}, predictions=table)


def test_the_same_films_and_findings_are_compared():
    assert why_not_comparable(made(), made()) is None


@pytest.mark.parametrize(
    ("run", "baseline", "reason"),
    [
        (RunFiles(Path()), made(), "this run has not been evaluated"),
        (made(), RunFiles(Path()), "the baseline has not been evaluated"),
        (made(), made(section="labeled"), "not evaluated on the section test"),
        (made(), made(findings=("a", "c")), "other findings"),
        (made(), made(n=5), "other films"),
        (made(), made(first="j0"), "other films"),
        (made(), made(label=0.0), "other labels"),
    ],
)
def test_anything_else_is_refused_with_its_reason(run, baseline, reason):
    assert reason in why_not_comparable(run, baseline)


def test_without_tables_the_datalist_must_be_the_same():
    def bare(sha256):
        run = made()
        told = {} if sha256 is None else {"datalist_sha256": sha256}
        return replace(run, evaluation=run.evaluation | told, predictions=None)

    assert why_not_comparable(bare("aa"), bare("aa")) is None
    for one, other in (("aa", "bb"), (None, None), ("aa", None)):
        assert "cannot be seen" in why_not_comparable(bare(one), bare(other))
