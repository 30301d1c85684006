# SPDX-License-Identifier: Apache-2.0
"""Average precision: by hand, and what MONAI's metric is given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import average_precision, match_candidates

LESIONS = {
    "lesion_image": [0, 1, 3],
    "lesion_box": [[0, 0, 10, 10], [20, 20, 30, 30], [1, 1, 5, 5]],
}


def matched(box, score=(0.9, 0.8, 0.3)):
    return match_candidates([0, 1, 1], score, box, **LESIONS, images=5)


# By hand: recall 1/3 at precision 1, 2/3 at 2/3, of 101 points 34 and 33: (34 + 22) / 101.
def test_two_of_three_found_with_one_false_positive_between():
    case = matched([[0, 0, 10, 10], [0, 0, 4, 4], [20, 20, 30, 30]])
    assert average_precision(case, **LESIONS) == pytest.approx(56 / 101)


# By hand, where the first box fails: one of three lesions at precision 1/3, at 34 of 101 points.
def test_a_box_that_overlaps_by_030_counts_up_to_that_overlap():
    case = matched([[0, 0, 10, 3], [0, 0, 4, 4], [20, 20, 30, 30]])
    mild = average_precision(case, **LESIONS, overlaps=(0.1, 0.3, 0.1))
    strict = average_precision(case, **LESIONS, overlaps=(0.35, 0.4, 0.05))
    assert mild == pytest.approx(56 / 101)
    assert strict == pytest.approx(34 / 3 / 101)


def test_without_lesions_there_is_no_precision_and_without_candidates_none():
    case = matched([[0, 0, 10, 10], [0, 0, 4, 4], [20, 20, 30, 30]])
    assert math.isnan(average_precision(case, [], np.zeros((0, 4))))
    none = match_candidates([], [], np.zeros((0, 4)), **LESIONS, images=5)
    assert average_precision(none, **LESIONS) == 0.0


def test_refuses_boxes_without_image():
    case = matched(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="must be as many, got 1 and 3"):
        average_precision(case, [0], LESIONS["lesion_box"])
