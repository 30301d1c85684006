# SPDX-License-Identifier: Apache-2.0
"""COCO's results: read back by pycocotools where it is installed, and by its rules by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.metrics import coco_results

BOXES = np.array([[2, 3, 10, 5], [0, 0, 7.5, 4], [20, 21, 24, 29]])


def results(**changed):
    given = {
        "image_id": [7, 7, 9],
        "score": [0.9, 0.25, 0.5],
        "box": BOXES,
        "category_id": [1, 2, 1],
    }
    return coco_results(**(given | changed))


def test_the_file_holds_corner_and_size():
    rows = json.loads(json.dumps(results(), allow_nan=False))
    assert rows[0] == {"image_id": 7, "category_id": 1, "bbox": [2, 3, 8, 2], "score": 0.9}
    corner = np.array([row["bbox"] for row in rows])
    corner[:, 2:] += corner[:, :2]
    np.testing.assert_array_equal(corner, BOXES)
    assert coco_results([], [], [], []) == []


def test_pycocotools_reads_it_and_scores_perfect_boxes_with_1(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth = coco.COCO()
    boxes = [
        row | {"id": n + 1, "area": np.prod(row["bbox"][2:]), "iscrowd": 0}
        for n, row in enumerate(results())
    ]
    truth.dataset = {
        "images": [{"id": 7}, {"id": 9}],
        "categories": [{"id": 1, "name": "fracture"}, {"id": 2, "name": "mass"}],
        "annotations": boxes,
    }
    truth.createIndex()
    path = tmp_path / "coco_results.json"
    path.write_text(json.dumps(results()))
    judge = cocoeval.COCOeval(truth, truth.loadRes(str(path)), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"score": [0.5]}, "must be as many, got 3, 1, 3 and 3"),
        ({"score": [0.5, np.nan, 0.1]}, "`score` and `box` must be finite"),
        ({"box": BOXES[:, [2, 3, 0, 1]]}, "Give corners, not a corner and a size"),
        ({"category_id": [0, 1, 1]}, "`category_id` must be at least 1, got 0"),
    ],
)
def test_refuses_what_no_reader_takes(changed, message):
    with pytest.raises(ValueError, match=message):
        results(**changed)
