# SPDX-License-Identifier: Apache-2.0
"""A model is not tested on the films it learned from."""

import pytest

from monai_kd.data import Datalist, refuse_trained_films, remember_films
from monai_kd.utils import MonaiKDError


def film(letter, **more):
    return {"image": f"{letter}.png", "label": [1], "pixel_sha256": letter * 64} | more


def datalist(tmp_path, **sections):
    return Datalist(["opacity"], False, sections, tmp_path)


def test_a_film_that_was_trained_on_is_found_under_any_name(tmp_path):
    remember_films(datalist(tmp_path, labeled=[film("a")], validation=[film("b")]), tmp_path)
    again = [film("b", image="other.dcm", id="x"), film("c")]
    with pytest.raises(MonaiKDError, match="must be new to the model, got 1 of 2"):
        refuse_trained_films(again, tmp_path, section="test")


def test_new_films_pass(tmp_path):
    remember_films(datalist(tmp_path, labeled=[film("a")], test=[film("c")]), tmp_path)
    refuse_trained_films([film("c"), {"image": "d.png"}], tmp_path, section="test")


def test_the_sections_of_the_training_may_be_looked_at(tmp_path):
    remember_films(datalist(tmp_path, labeled=[film("a")]), tmp_path)
    refuse_trained_films([film("a")], tmp_path, section="labeled")


def test_without_a_memory_nothing_can_be_checked(tmp_path):
    refuse_trained_films([film("a")], tmp_path, section="test")


def test_the_memory_names_nobody(tmp_path):
    remember_films(datalist(tmp_path, labeled=[film("a", patient_id="p1")]), tmp_path)
    assert (tmp_path / "trained_on.txt").read_text() == "a" * 64 + "\n"
