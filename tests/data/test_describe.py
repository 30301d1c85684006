# SPDX-License-Identifier: Apache-2.0
"""What is said of a datalist: counts, and nobody's name."""

from __future__ import annotations

import pytest

from monai_kd.data import Datalist, describe_datalist, drawn_findings, films_without_patient

BOX = {"box": [0, 0, 1, 1]}


def datalist(*items, **info):
    return Datalist(["a", "b"], False, {"test": list(items)}, None, info)


def test_a_description_counts_and_names_nobody():
    described = describe_datalist(
        datalist(
            {"image": "SMITH.png", "label": [1, None], "patient_id": "p", "regions": [BOX]},
            {
                "image": "MILLER.png",
                "label": [0, 1],
                "patient_id": "p",
                "regions": [],
                "site": "north",
            },
        )
    )
    assert described == {
        "test": {
            "images": 2,
            "patients": 1,
            "known": {"a": 2, "b": 1},
            "positives": {"a": 1, "b": 1},
            "regions": 1,
            "sites": {"north": 1},
        }
    }


def test_of_films_without_labels_nobody_knows_how_many_are_positive():
    described = describe_datalist(datalist({"label": [None, 0]}, {"label": [None, None]}))["test"]
    assert described["positives"] == {"a": None, "b": 0}
    assert described["known"] == {"a": 0, "b": 1}


NOTE = "3 images have no patient id: each counts as its own patient"
NAMED = [{"patient_id": str(number)} for number in range(4)]


@pytest.mark.parametrize(
    ("items", "built", "expected"),
    [
        pytest.param([{}, {"patient_id": "p"}, {"patient_id": None}], None, 2, id="no header"),
        pytest.param(NAMED, {"images_without_patient": 2, "notes": [NOTE]}, 2, id="the header"),
        pytest.param(NAMED, {"images_without_patient": 0}, 0, id="all known"),
        pytest.param(NAMED, {"notes": ["1 other thing", NOTE]}, 3, id="an older note"),
        pytest.param(NAMED[:2], {"notes": [NOTE]}, 2, id="a note that counts films left out"),
        pytest.param(NAMED, {"notes": ["1 rows have no image"]}, 0, id="notes of other things"),
        pytest.param([{}], "by hand", 1, id="another header"),
    ],
)
def test_films_of_unknown_patients_are_counted(items, built, expected):
    info = {} if built is None else {"built": built}
    assert films_without_patient(datalist(*items, **info)) == expected


@pytest.mark.parametrize(
    ("label", "regions", "drawn"),
    [
        pytest.param([1, 1], [BOX | {"finding": "b"}], ["b"], id="of one finding"),
        pytest.param([1, None], [BOX], ["a", "b"], id="of every finding that is not absent"),
        pytest.param([1, 0], [BOX | {"finding": None}], ["a"], id="of those that are there"),
        pytest.param([0, 0], [BOX], [], id="drawn though absent"),
        pytest.param([1, 0], [BOX | {"finding": "b"}], [], id="another than is there"),
        pytest.param([1, 1], [], [], id="looked, found nothing"),
        pytest.param([1, 1], None, [], id="nobody drew"),
    ],
)
def test_findings_are_drawn_where_a_film_has_a_region_of_them(label, regions, drawn):
    nothing = {"label": [1, 1]}
    assert drawn_findings([nothing, {"label": label, "regions": regions}], ["a", "b"]) == drawn
