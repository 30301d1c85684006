# SPDX-License-Identifier: Apache-2.0
"""The page's pictures: curves against scikit-learn, pictures that show what they should."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from monai_kd.report import (
    RegionCase,
    confusion_png,
    decision_regions_png,
    roc_png,
    write_side_by_side,
)
from monai_kd.report.plots import _roc_points
from monai_kd.utils import MonaiKDError


def picture(png):
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


def test_the_roc_curve_is_that_of_scikit_learn():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    label = (rng.random(80) < 0.4).astype(float)
    prob = np.round(rng.random(80) * 0.7 + 0.3 * label, 1)  # with ties
    alarms, hits, _ = roc_curve(label, prob, drop_intermediate=False)
    ours = _roc_points(prob, label)
    np.testing.assert_allclose(ours[0], alarms)
    np.testing.assert_allclose(ours[1], hits)


def test_a_finding_without_both_classes_draws_no_curve():
    label = np.array([[1.0, 0], [0, 0], [1, np.nan]])
    prob = np.array([[0.9, 0.1], [0.2, 0.3], [0.4, 0.5]])
    one = roc_png(prob, label, findings=["a", "b"])
    orange = (abs(picture(one) - (0xC8, 0x55, 0x3D)).sum(-1) < 30).sum()
    assert orange == 0
    label[0, 1] = 1
    two = roc_png(prob, label, findings=["a", "b"])
    assert (abs(picture(two) - (0xC8, 0x55, 0x3D)).sum(-1) < 30).sum() > 100


def test_no_finding_can_break_the_picture_by_its_name():
    label, prob = np.array([[1.0], [0]]), np.array([[0.9], [0.1]])
    picture(roc_png(prob, label, findings=["$\\frac{"]))
    picture(confusion_png({"$x_": [[1, 0], [0, 1]]}, findings=["$x_"]))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_confusion_matrices_of_any_number_of_findings(count):
    names = [f"f{number}" for number in range(count)]
    picture(confusion_png(np.eye(count, dtype=int).tolist(), findings=names))
    picture(confusion_png({name: [[5, 1], [0, 0]] for name in names}, findings=names))


def region_case(**changes):
    film, region = np.full((64, 64), 0.5), np.zeros((64, 64))
    region[20:40, 10:30] = 1
    settings = {"cams": {"baseline": film * 0, "student": region}, "captions": {}} | changes
    return RegionCase("opacity", film, region, **settings)


def test_each_model_gets_a_column_and_each_film_a_row():
    one = picture(decision_regions_png([region_case()]))
    two = picture(decision_regions_png([region_case(), region_case()]))
    assert two.shape[0] > 1.6 * one.shape[0]
    assert two.shape[1] == one.shape[1]
    third = one.shape[1] // 3
    warm = (one[..., 0] - one[..., 2] > 40)[: int(one.shape[0] * 0.7)]
    assert warm[:, -third:].sum() > 100  # the student's heat
    assert warm[:, :-third].sum() == 0


def test_without_a_film_there_is_no_picture():
    with pytest.raises(ValueError, match="at least one film, got none"):
        decision_regions_png([])


def test_two_runs_stand_one_above_the_other(tmp_path):
    colors = {"baseline": (255, 0, 0), "hkd": (0, 0, 255)}
    for name, color in colors.items():
        (tmp_path / name / "pictures").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text(f'{{"method": "{name}"}}')
        for film in ("a", "b", name):
            Image.new("RGB", (8, 8), color).save(tmp_path / name / "pictures" / f"{film}.png")
    picture = np.asarray(Image.open(write_side_by_side(tmp_path / "hkd", tmp_path / "baseline")))
    height = len(picture)
    for color, half in zip(
        colors.values(), (slice(0, height // 2), slice(height // 2, height)), strict=True
    ):
        shown = (picture[half, :, :3] == color).all(-1)
        assert shown.mean() > 0.5
        assert not (picture[half, :, :3] == tuple(reversed(color))).all(-1).any()


def test_runs_without_a_film_in_common_are_refused(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "pictures").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name / "pictures" / f"{name}.png")
    with pytest.raises(MonaiKDError, match="must have drawn the same films, got none in common"):
        write_side_by_side(tmp_path / "one", tmp_path / "other")
