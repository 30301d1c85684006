# SPDX-License-Identifier: Apache-2.0
"""What is promised of the fracture films of the phantom."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import label as connected

from monai_kd.data import read_radiograph
from monai_kd.data.phantom import draw_phantom_archive
from monai_kd.data.phantom.bones import Break, draw_breaks
from monai_kd.data.phantom.film import render_film
from monai_kd.data.phantom.plan import TASKS, plan_films, plan_sections
from tests.data.phantom.fractured_films import (
    FIVE_FRACTURES,
    render_fractures,
    write_fractures,
)

FINDINGS = TASKS["fracture"]


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    folder = draw_phantom_archive(
        tmp_path_factory.mktemp("fracture") / "phantom", images=60, size=64, task="fracture"
    )
    return json.loads((folder / "datalist.json").read_text())


def test_validation_and_test_films_are_all_drawn(sections):
    items = sections["validation"] + sections["test"]
    for item in items:
        named = {region["finding"] for region in item["regions"]}
        assert named == {name for name, value in zip(FINDINGS, item["label"], strict=True) if value}
        assert "hidden_regions" not in item
    assert any(item["regions"] for item in items)


def test_what_the_expert_did_not_draw_is_hidden_with_all_that_was_planted(sections):
    kinds = {"drawn": 0, "hidden": 0, "none": 0}
    for item in sections["labeled"]:
        truth = {name for name, value in zip(FINDINGS, item["label"], strict=True) if value}
        if item["regions"] is None:
            assert {region["finding"] for region in item["hidden_regions"]} == truth != set()
            kinds["hidden"] += 1
        else:
            assert {region["finding"] for region in item["regions"]} == truth
            assert "hidden_regions" not in item
            kinds["drawn" if truth else "none"] += 1
    assert kinds["hidden"] > kinds["drawn"] > 2
    assert kinds["none"] > 5


def test_every_fracture_has_a_box_of_its_own(sections):
    several = 0
    for item in [item for part in ("labeled", "validation", "test") for item in sections[part]]:
        boxes = [region["box"] for region in item["regions"] or item.get("hidden_regions", [])]
        several += len(boxes) > 1
        for one, other in itertools.combinations(boxes, 2):
            apart = [
                one[2] <= other[0] or other[2] <= one[0],
                one[3] <= other[1] or other[3] <= one[1],
            ]
            assert any(apart)
    assert several > 5


@pytest.mark.parametrize("task", ["opacity", "tb"])
def test_other_tasks_hide_no_regions(task, tmp_path):
    folder = draw_phantom_archive(tmp_path / "p", images=40, size=64, task=task)
    assert "hidden_regions" not in (folder / "datalist.json").read_text()


@pytest.mark.parametrize("images", [40, 60, 500])
@pytest.mark.parametrize("seed", range(3))
def test_some_labeled_films_of_each_finding_are_drawn_and_most_are_not(images, seed):
    films = plan_sections(plan_films(images, seed, "fracture"), seed, "fracture")["labeled"]
    for finding in FINDINGS:
        positive = [film for film in films if finding in film.patient.present]
        drawn = sum(film.drawn for film in positive)
        fewest = max(2, math.ceil(0.06 * len(positive)))
        assert fewest <= drawn <= fewest + 3  # a film drawn for one kind shows the other too


# Gray means of the 16 parts of a film, in 1/1000, as they were before fractures were changed.
UNCHANGED = {
    "opacity": [125, 587, 607, 127, 515, 605, 647, 510, 457, 665, 722, 438, 654, 929, 901, 527],
    "tb": [254, 666, 634, 272, 502, 548, 536, 494, 447, 597, 665, 456, 714, 871, 845, 640],
}


@pytest.mark.parametrize("task", sorted(UNCHANGED))
def test_films_of_the_other_tasks_are_as_they_were(task):
    film = next(f for f in plan_films(60, 3, task) if set(f.patient.present) - {"healthy"})
    parts = render_film(film, 64).film.reshape(4, 16, 4, 16).mean(axis=(1, 3))
    np.testing.assert_allclose(1000 * parts.ravel(), UNCHANGED[task], atol=1.5)


def visible(breaks, size=192, seed=0):
    """Return by how much each pixel of the film changes with the fractures, and their boxes."""
    _, broken = render_fractures(breaks, size=size, seed=seed)
    _, whole = render_fractures((), size=size, seed=seed)
    return np.abs(broken.film - whole.film), [region["box"] for region in broken.regions]


@pytest.mark.parametrize("kind", FINDINGS)
def test_a_box_holds_the_fracture_and_little_else(kind):
    rng = np.random.default_rng(1)
    filled = []
    for seed in range(8):
        change, ((x_min, y_min, x_max, y_max),) = visible(draw_breaks(rng, kind)[:1], seed=seed)
        inside = change[y_min:y_max, x_min:x_max]
        assert inside.sum() > 0.93 * change.sum()
        rows, columns = np.nonzero(inside > 0.3 * inside.max())
        filled.append([np.ptp(rows) / inside.shape[0], np.ptp(columns) / inside.shape[1]])
        assert inside.max() > 0.1
    assert np.mean(filled) > 0.5


def test_a_film_can_have_no_fracture_or_five():
    film, none = render_fractures(())
    assert (none.regions, film.patient.present) == ([], ())
    film, five = render_fractures()
    assert film.patient.present == FINDINGS
    assert [r["finding"] for r in five.regions] == ["rib_fracture"] * 4 + ["clavicle_fracture"]
    change, boxes = visible(FIVE_FRACTURES)
    mask = np.zeros(change.shape, bool)
    for x_min, y_min, x_max, y_max in boxes:
        assert change[y_min:y_max, x_min:x_max].max() > 0.1
        mask[y_min:y_max, x_min:x_max] = True
    assert connected(mask).max() == 5


def test_a_film_with_five_fractures_is_read_like_any_other(tmp_path):
    rendering = write_fractures(tmp_path / "five.dcm", size=64)
    pixels = read_radiograph(tmp_path / "five.dcm").pixels
    assert pixels.shape == (64, 64)
    assert np.corrcoef(pixels.ravel(), rendering.film.ravel())[0, 1] > 0.98
    write_fractures(tmp_path / "none.dcm", (), size=64)
    assert (tmp_path / "none.dcm").read_bytes() != (tmp_path / "five.dcm").read_bytes()


def test_a_wider_gap_and_a_larger_step_change_more():
    small = Break(bone=6, at=0.35, step=2.0, gap=2.0, bend=0.0)
    amounts = [
        visible((one,))[0].sum()
        for one in (small, replace(small, gap=8.0), replace(small, gap=8.0, step=11.0))
    ]
    assert amounts == sorted(amounts)
