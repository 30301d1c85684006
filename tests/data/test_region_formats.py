# SPDX-License-Identifier: Apache-2.0
"""What is promised of region files."""

from __future__ import annotations

import json

import pytest

from monai_kd.data import REGION_FORMATS, RegionFormat, RegionTable, read_regions
from monai_kd.utils import MonaiKDError

IMAGES = [{"id": 1, "file_name": "a.png", "height": 40, "width": 50}, {"id": 2, "file_name": "b"}]


def coco(tmp_path, **changes):
    annotation = {"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 5]} | changes
    content = {
        "images": IMAGES,
        "annotations": [annotation],
        "categories": [{"id": 7, "name": "opacity"}],
    }
    path = tmp_path / "regions.json"
    path.write_text(json.dumps(content))
    return path


def table(tmp_path, *lines):
    path = tmp_path / "regions.csv"
    path.write_text("\n".join(lines))
    return path


def test_coco_width_and_height_become_maxima(tmp_path):
    drawn = read_regions(coco(tmp_path))
    assert drawn["a.png"] == [{"box": [10, 20, 40, 25], "finding": "opacity"}]
    assert drawn.sizes == {"a.png": (40, 50)}


def test_a_coco_image_without_annotations_was_looked_at(tmp_path):
    assert read_regions(coco(tmp_path))["b"] == []


def test_coco_polygons_are_taken_before_the_box(tmp_path):
    drawn = read_regions(coco(tmp_path, segmentation=[[1, 2, 3, 4, 5, 6], [0, 0, 9, 0, 9, 9]]))
    assert [region["polygon"] for region in drawn["a.png"]] == [
        [[1, 2], [3, 4], [5, 6]],
        [[0, 0], [9, 0], [9, 9]],
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segmentation": {"counts": [1], "size": [2, 2]}}, "got run lengths .RLE.. Export it"),
        ({"segmentation": [[1, 2, 3, 4]]}, "at least 3 points"),
        ({"image_id": 5}, "annotation 0 must point to a listed image"),
        ({"category_id": 5}, "listed category"),
        ({"bbox": [1, 2, 3]}, "must have `bbox`"),
    ],
)
def test_refuses_coco_annotations_it_cannot_draw(tmp_path, changes, message):
    with pytest.raises(MonaiKDError, match=message):
        read_regions(coco(tmp_path, **changes))


def test_refuses_json_that_is_not_coco(tmp_path):
    (tmp_path / "x.json").write_text('{"pictures": []}')
    with pytest.raises(MonaiKDError, match="lists images and annotations, got pictures"):
        read_regions(tmp_path / "x.json")


def test_reads_corners_one_box_per_row(tmp_path):
    path = table(
        tmp_path,
        "image,x_min,y_min,x_max,y_max,finding",
        "a,1,2,3.5,4,mass",
        "a,0,0,1,1,",
        "b,,,,,",
    )
    assert read_regions(path) == {
        "a": [
            {"box": [1, 2, 3.5, 4], "finding": "mass"},
            {"box": [0, 0, 1, 1], "finding": None},
        ],
        "b": [],
    }


def test_reads_corner_and_size_as_rsna_writes_them(tmp_path):
    path = table(tmp_path, "patientId,x,y,width,height,Target", "a,10,20,5,6,1", "b,NaN,,,,0")
    assert read_regions(path) == {"a": [{"box": [10, 20, 15, 26], "finding": None}], "b": []}


def test_reads_points_with_and_without_a_radius(tmp_path):
    path = table(tmp_path, "image,x,y,radius,finding", "a,10,20.5,6,rib", "a,1,2,,rib", "b,,,,")
    assert read_regions(path) == {
        "a": [
            {"point": [10, 20.5], "radius": 6, "finding": "rib"},
            {"point": [1, 2], "finding": "rib"},
        ],
        "b": [],
    }
    path = table(tmp_path, "image,x,y", "a,10,20")
    assert read_regions(path) == {"a": [{"point": [10, 20], "finding": None}]}


def test_reads_lists_in_cells_and_prefers_polygons(tmp_path):
    path = table(
        tmp_path,
        "image,boxes_xyxy,polygons_xy",
        'a,"[[1, 2, 3, 4]]","[[1, 2, 3, 2, 3, 4]]"',
        'b,"[[1, 2, 3, 4]]",[]',
        "c,[],[]",
    )
    assert read_regions(path) == {
        "a": [{"polygon": [[1, 2], [3, 2], [3, 4]], "finding": None}],
        "b": [{"box": [1, 2, 3, 4], "finding": None}],
        "c": [],
    }


def test_reads_one_name_per_listed_box(tmp_path):
    path = table(
        tmp_path, "image;boxes_xyxy;box_labels", 'a;[[1, 2, 3, 4]];"[""mass""]"', "b;[];[]"
    )
    assert read_regions(path)["a"] == [{"box": [1, 2, 3, 4], "finding": "mass"}]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,xmin,y_min,x_max,y_max", "a,1,2,3,4"], "For `x_min`, you have `xmin`"),
        (["imag,x_min,y_min,x_max,y_max", "a,1,2,3,4"], "For `image`, you have `imag`"),
        (["image,x_min,y_min,x_max,y_max", "SECRET,1,2,,4"], "row 1: .*all filled or all empty"),
        (["image,x_min,y_min,x_max,y_max", "SECRET,1,2,SECRET,4"], "must be numbers"),
        (["image,x,y,w,h", "a,1,2,3,4"], "must have the columns image, x_min"),
        (["image,x,y,Width,Height", "a,1,2,3,4"], "must have the columns image, x_min"),
        (["image,x,y", "SECRET,1,"], "row 1: x, y must be all filled or all empty"),
        (["image,x,y,radius", "SECRET,1,2,SECRET"], "must be numbers"),
        (["image,boxes_xyxy", "SECRET,SECRET"], "row 1: `boxes_xyxy` must be a JSON list"),
        (["image,polygons_xy", 'SECRET,"[[1, 2, 3, 4]]"'], "at least 3 points x, y, got 4"),
        (["image,x_min,y_min,x_max,y_max", "a,1,2"], "row 1 must have 5 cells"),
        (["image,x_min,y_min,x_max,y_max"], "must have a header and rows"),
    ],
)
def test_says_what_is_wrong_with_a_csv_without_its_content(tmp_path, lines, message):
    with pytest.raises(MonaiKDError, match=message) as raised:
        read_regions(table(tmp_path, *lines))
    assert "SECRET" not in str(raised.value)


def test_says_when_the_file_is_missing_or_of_an_unknown_kind(tmp_path):
    with pytest.raises(MonaiKDError, match="must exist, got none"):
        read_regions(tmp_path / "none.csv")
    (tmp_path / "a.xml").write_text("<a/>")
    with pytest.raises(MonaiKDError, match=r"must end in \.json, \.csv"):
        read_regions(tmp_path / "a.xml")
    with pytest.raises(ValueError, match=r"`format` must be one of auto, coco, csv, got 'coc'"):
        read_regions(tmp_path / "a.xml", format="coc")


def test_a_new_format_is_one_entry(tmp_path, monkeypatch):
    def read_voc(path):
        drawn = RegionTable()
        drawn[path.stem] = []
        return drawn

    monkeypatch.setitem(REGION_FORMATS, "voc", RegionFormat((".xml",), read_voc))
    (tmp_path / "a.xml").write_text("<a/>")
    assert read_regions(tmp_path / "a.xml") == {"a": []}
