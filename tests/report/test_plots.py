# SPDX-License-Identifier: Apache-2.0
"""The page's pictures: curves against scikit-learn, pictures that show what they should."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from monai_kd.report import (
    confusion_png,
    froc_png,
    precision_recall_png,
    reliability_png,
    roc_png,
    write_side_by_side,
)
from monai_kd.report.curve_plots import _precision_recall_points, _roc_points
from monai_kd.report.plot_style import page_width
from monai_kd.utils import MonaiKDError

ORANGE = (0xC8, 0x55, 0x3D)  # of the second finding


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


def test_precision_over_recall_is_that_of_scikit_learn():
    from sklearn.metrics import precision_recall_curve

    rng = np.random.default_rng(1)
    label = (rng.random(80) < 0.3).astype(float)
    prob = np.round(rng.random(80) * 0.7 + 0.3 * label, 1)  # with ties
    precision, recall, _ = precision_recall_curve(label, prob)
    ours = _precision_recall_points(prob, label)
    np.testing.assert_allclose(ours[0], recall[::-1])
    np.testing.assert_allclose(ours[1][1:], precision[::-1][1:])
    assert ours[1][0] == ours[1][1]  # there it has 1 by convention, a line that nobody measured


def near(png, color):
    """How many pixels have a color."""
    return (abs(picture(png) - color).sum(-1) < 30).sum()


@pytest.mark.parametrize("draw", [roc_png, precision_recall_png])
def test_a_finding_without_both_classes_draws_no_curve(draw):
    label = np.array([[1.0, 0], [0, 0], [1, np.nan]])
    prob = np.array([[0.9, 0.1], [0.2, 0.3], [0.4, 0.5]])
    assert near(draw(prob, label, findings=["a", "b"]), ORANGE) == 0
    label[0, 1] = 1
    assert near(draw(prob, label, findings=["a", "b"]), ORANGE) > 100


def test_an_operating_point_is_a_ring_on_the_curve():
    label, prob = np.array([[1.0, 1], [0, 0]]), np.array([[0.9, 0.8], [0.1, 0.2]])
    plain = roc_png(prob, label, findings=["a", "b"])
    ring = roc_png(prob, label, findings=["a", "b"], points={"b": [(0.5, 0.5)]})
    assert near(ring, ORANGE) > near(plain, ORANGE) + 100


def froc(**changes):
    return {
        "curve": {"fp_per_image": [0, 0.5, 2], "recall": [0, 0.5, 0.8]}, "fp_per_image": [0.5, 1],
        "recall": [0.5, 0.5], "recall_ci": [[0.3, 0.7], None],
    } | changes  # fmt: skip


def test_froc_draws_a_curve_for_each_finding_also_without_intervals():
    one = froc_png({"a": froc()})
    two = froc_png({"a": froc(), "b": froc(recall_ci=None, recall=[0.4, None])})
    assert near(one, ORANGE) == 0
    assert near(two, ORANGE) > 100


def test_reliability_has_a_plot_for_each_finding_and_may_lack_bins():
    bins = {
        "mean_prob": [0.1, None, 0.9],
        "share": [0, None, 1],
        "low": None,
        "high": None,
        "n": [],
    }
    one, four = (reliability_png(dict.fromkeys("abcd"[:n], bins)) for n in (1, 4))
    assert picture(four).shape[0] > 1.7 * picture(one).shape[0]  # a second row
    assert near(four, ORANGE) > 50


@pytest.mark.parametrize("count", [1, 2, 3])
def test_letters_of_a_reliability_plot_are_as_large_as_of_others(count):
    bins = {"mean_prob": [0.1], "share": [0], "n": [3]}
    png = reliability_png(dict.fromkeys("abc"[:count], bins))
    roc = roc_png([[0.9], [0.1]], [[1], [0]], findings=["a"])
    column = 460  # pixels of half a page, where the ROC curve stands
    letters = column / picture(roc).shape[1]  # on the page, of its own size
    assert page_width(png) / picture(png).shape[1] == pytest.approx(letters, rel=0.05)


def test_no_finding_can_break_the_picture_by_its_name():
    label, prob = np.array([[1.0], [0]]), np.array([[0.9], [0.1]])
    for draw in (roc_png, precision_recall_png):
        picture(draw(prob, label, findings=["$\\frac{"]))
    picture(froc_png({"$\\frac{": froc()}))
    picture(confusion_png({"$x_": [[1, 0], [0, 1]]}, findings=["$x_"]))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_confusion_matrices_of_any_number_of_findings(count):
    names = [f"f{number}" for number in range(count)]
    picture(confusion_png(np.eye(count, dtype=int).tolist(), findings=names))
    picture(confusion_png({name: [[5, 1], [0, 0]] for name in names}, findings=names))


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
