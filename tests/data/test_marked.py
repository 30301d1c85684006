# SPDX-License-Identifier: Apache-2.0
"""hkd needs films on which somebody drew."""

from __future__ import annotations

import pytest

from monai_kd.data import refuse_unmarked
from monai_kd.utils import MonaiKDError

BOX = [{"box": [0, 0, 2, 2], "finding": None}]


@pytest.mark.parametrize("regions", [None, []])
def test_films_without_any_region_are_refused_with_their_number(regions):
    films = [{"image": "a.png", "regions": regions}, {"image": "b.png"}]
    with pytest.raises(
        MonaiKDError, match=r"labeled must have regions for hkd, got none on 2 films"
    ):
        refuse_unmarked(films, section="labeled")


@pytest.mark.parametrize("film", [{"regions": BOX}, {"regions": None, "lung_mask": "m.png"}])
def test_one_film_with_a_region_is_enough(film):
    refuse_unmarked([{"regions": None}, film], section="labeled")


def test_a_section_without_films_is_another_check_s_business():
    refuse_unmarked([], section="labeled")
