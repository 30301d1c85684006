# SPDX-License-Identifier: Apache-2.0
"""What all metrics refuse, in one sentence each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics.interval import Interval, json_limits, json_number
from monai_kd.metrics.score_arrays import score_arrays, whole_rows


@pytest.mark.parametrize(
    ("prob", "label", "message"),
    [
        ([0.1, 0.2], [0, 1, 1], r"must have the same shape.*got \(2,\) and \(3,\)"),
        ([[[0.1]]], [[[1]]], r"\(N,\) or \(N, C\)"),
        ([], [], r"`prob` must hold at least one image, got none"),
        ([0.1, math.nan], [0, 1], r"got 1 values that are NaN or outside"),
        ([-0.1, 1.1], [0, 1], r"got 2 values"),
        ([0.1, 0.2], [0, 2], r"`label` must be 0, 1, or NaN"),
    ],
)
def test_bad_input_is_one_clear_sentence(prob, label, message):
    with pytest.raises(ValueError, match=f"^somebody: .*{message}"):
        score_arrays("somebody", np.array(prob), np.array(label))


def test_every_image_has_its_patient():
    with pytest.raises(ValueError, match=r"one entry per image, 2, got 1"):
        score_arrays("somebody", [0.1, 0.2], [0, 1], patient_id=["a"])


def test_one_finding_is_one_column():
    prob, label = score_arrays("somebody", [0.1, 0.2], [0, math.nan])
    assert prob.shape == label.shape == (2, 1)


def test_a_softmax_row_is_known_as_a_whole_or_not_at_all():
    label = np.array([[1, 0], [math.nan, 1]])
    assert np.isnan(whole_rows(label, "softmax")).tolist() == [[False, False], [True, True]]
    assert np.isnan(whole_rows(label, "sigmoid")).sum() == 1


def test_what_is_not_defined_is_none_in_json():
    assert json_number(math.nan) is None
    assert json_limits(Interval(0.5, math.nan, math.nan)) is None
    assert json_limits(Interval(0.5, 0.25, 0.75)) == [0.25, 0.75]
