# SPDX-License-Identifier: Apache-2.0
"""What the page says of the data: counts, and nothing else of an item."""

from __future__ import annotations

import json
from pathlib import Path

from monai_kd.data.datalist import Datalist, sha256_of_sections
from monai_kd.report import data_summary, software_versions


def item(patient, label, **more):
    return {"image": f"Doe^{patient}.dcm", "label": label, "patient_id": patient, **more}


def datalist(folder="archive"):
    sections = {
        "labeled": [
            item("p1", [1, None], regions=[{"box": [0, 0, 4, 4], "finding": None}], site="A"),
            item("p1", [0, 1], regions=[], site="B"),
            item("p2", [1, 0], regions=None, site="A"),
        ],
        "unlabeled_1": [{"image": "Doe^3.dcm", "patient_id": "p3"}],
    }
    return Datalist(["a", "b"], exclusive=False, sections=sections, root=Path(folder))


def test_counts_by_hand():
    labeled = data_summary(datalist())["sections"]["labeled"]
    assert labeled == {
        "images": 3, "patients": 2, "positives": {"a": 2, "b": 1}, "unknown": {"a": 0, "b": 1},
        "with_regions": 1, "sites": {"A": 2, "B": 1},
    }  # fmt: skip


def test_images_without_a_label_are_unknown():
    rest = data_summary(datalist())["sections"]["unlabeled_1"]
    assert rest["unknown"] == {"a": 1, "b": 1}
    assert rest["sites"] == {}


def test_only_the_built_in_archive_is_synthetic():
    assert data_summary(datalist("x/phantom"))["synthetic"]
    assert not data_summary(datalist())["synthetic"]


def test_the_hash_is_that_of_the_file_list_and_no_name_is_there():
    summary = data_summary(datalist())
    assert summary["sha256"] == sha256_of_sections(datalist().sections)
    assert "Doe" not in json.dumps(summary)


def test_versions_name_what_computes():
    assert {"python", "monai", "torch"} <= set(software_versions())
