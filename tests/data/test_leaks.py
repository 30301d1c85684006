# SPDX-License-Identifier: Apache-2.0
"""What is promised of the leak gate."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_kd.data import LEAK_CHECKS, Datalist, check_leaks, refuse_leaks
from monai_kd.utils import MonaiKDError

NUMBERS = itertools.count()


def item(patient, pixels=None, image=None):
    image = image or f"SECRET{next(NUMBERS)}.png"
    picture = {} if pixels is None else {"pixel_sha256": pixels}
    return {"image": image, "label": [1], "patient_id": patient} | picture


def datalist(root=Path(), **sections):
    return Datalist(["a"], False, sections, root)


KINDS = ["labeled", "unlabeled_1", "unlabeled_2", "validation", "test"]
PAIRS = [(one, two) for number, one in enumerate(KINDS) for two in KINDS[number + 1 :]]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_a_patient_stands_in_one_section_only(one, two):
    leaking = datalist(**{one: [item("SECRET"), item("p")], two: [item("q"), item("SECRET")]})
    assert check_leaks(leaking).shared["patients"] == {(one, two): 1}
    with pytest.raises(MonaiKDError, match=f"1 patients stand in `{one}` and in `{two}`") as raised:
        refuse_leaks(leaking)
    assert "SECRET" not in str(raised.value)


def test_a_picture_stands_in_one_section_only():
    leaking = datalist(labeled=[item("p", "x"), item("q", "y")], test=[item("r", "x")])
    assert check_leaks(leaking).shared["identical pictures"] == {("labeled", "test"): 1}
    with pytest.raises(MonaiKDError, match="1 identical pictures stand in `labeled` and in `test`"):
        refuse_leaks(leaking)


def test_a_patient_may_have_many_images_in_one_section():
    report = refuse_leaks(datalist(labeled=[item("p", "x"), item("p", "x")], test=[item("q", "y")]))
    assert report.clean
    assert report.lines() == []


def test_who_cannot_be_compared_is_counted(caplog):
    with caplog.at_level(logging.INFO):
        report = refuse_leaks(datalist(labeled=[item("p"), item(None, "x")], test=[item(None)]))
    assert report.unknown == {"patients": 2, "image files": 0, "identical pictures": 2}
    hashed, warned = caplog.messages
    assert "hashing the pixels of 2 films" in hashed
    assert "of 3: patients: 2, identical pictures: 2." in warned
    assert "SECRET" not in caplog.text


def test_nothing_is_said_when_all_could_be_compared(caplog):
    with caplog.at_level(logging.INFO):
        refuse_leaks(datalist(labeled=[item("p", "x")], test=[item("q", "y")]))
    assert caplog.messages == []


@pytest.mark.parametrize("same", ["one.png", "deep/../one.png", "link.png"])
def test_an_image_file_stands_in_one_section_only(tmp_path, same):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "one.png")
    leaking = datalist(
        tmp_path,
        labeled=[item("p", "x", image="one.png")],
        test=[item("q", "y", image=same), item("r", "z", image="two.png")],
    )
    with pytest.raises(MonaiKDError, match="1 image files stand in `labeled` and in `test`"):
        refuse_leaks(leaking, hash_pixels=False)


def test_missing_hashes_are_made(tmp_path):
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    Image.fromarray(pixels).save(tmp_path / "two.png", optimize=True, compress_level=0)
    (tmp_path / "broken.png").write_bytes(b"x")
    leaking = datalist(
        tmp_path,
        labeled=[item("p", image="one.png"), item("q", image="broken.png")],
        test=[item("r", image="two.png")],
    )
    assert check_leaks(leaking).clean
    report = check_leaks(leaking, hash_pixels=True)
    assert report.shared["identical pictures"] == {("labeled", "test"): 1}
    assert report.unknown["identical pictures"] == 1
    with pytest.raises(MonaiKDError, match="1 identical pictures stand in"):
        refuse_leaks(leaking)


def test_a_new_check_is_one_entry(monkeypatch):
    monkeypatch.setitem(LEAK_CHECKS, "studies", lambda item: item.get("study"))
    leaking = datalist(labeled=[item("p") | {"study": "s"}], test=[item("q") | {"study": "s"}])
    with pytest.raises(MonaiKDError, match="1 studies stand in"):
        refuse_leaks(leaking)
