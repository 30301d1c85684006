# SPDX-License-Identifier: Apache-2.0
"""What is promised of drawn regions."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_kd.data import RegionError, regions_to_mask

FINDINGS = ["opacity", "fracture"]


def paint(shape=(6, 9), **region):
    return regions_to_mask([region], ["opacity"], shape)[0]


def touched_by_supersampling(points, shape, factor=40):
    """Oracle: scikit-image paints the polygon 40 times finer; how much of each pixel is in."""
    draw = pytest.importorskip("skimage.draw")
    fine = np.zeros((shape[0] * factor, shape[1] * factor), dtype=bool)
    xy = np.asarray(points, dtype=float) * factor - 0.5
    rows, columns = draw.polygon(xy[:, 1], xy[:, 0], fine.shape)
    fine[rows, columns] = True
    return fine.reshape(shape[0], factor, shape[1], factor).sum(axis=(1, 3))


def test_x_counts_columns_and_y_counts_rows():
    mask = paint((4, 7), box=[5, 0, 6, 2])
    assert np.argwhere(mask).tolist() == [[0, 5], [1, 5]]


def test_maxima_are_exclusive():
    assert paint(box=[2, 1, 4, 3]).sum() == 4


def test_a_box_holds_every_pixel_it_touches():
    mask = paint(box=[1.9, 2.2, 3.1, 2.8])
    assert np.argwhere(mask).tolist() == [[2, 1], [2, 2], [2, 3]]


def test_a_box_is_clipped_to_the_image():
    mask = paint((4, 5), box=[-3, 2, 2.5, 99])
    assert np.argwhere(mask).tolist() == [[r, c] for r in (2, 3) for c in (0, 1, 2)]


@pytest.mark.parametrize("seed", range(6))
def test_a_polygon_holds_the_pixels_it_touches_as_finer_painting_says(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radius = rng.uniform(2, 9, 7)
    points = np.stack([12 + radius * np.cos(angles), 10 + radius * np.sin(angles)], axis=1)
    shape = (20, 24)
    share = touched_by_supersampling(points, shape)
    mask = paint(shape, polygon=points.tolist()).astype(bool)
    assert not (mask ^ (share > 0))[(share == 0) | (share > 20)].sum() > 2  # slivers only
    assert mask[share > 8].all()


def test_a_rectangle_is_the_same_as_box_and_as_polygon():
    corners = [[1.5, 2], [6, 2], [6, 4.25], [1.5, 4.25]]
    np.testing.assert_array_equal(paint(polygon=corners), paint(box=[1.5, 2, 6, 4.25]))


@pytest.mark.parametrize("points", [[[1, 1], [5, 1], [5, 4], [1, 4]], [[0, 0], [3, 0], [3, 3]]])
def test_a_polygon_on_pixel_borders_does_not_spill_over(points):
    mask = paint(polygon=points)
    columns, rows = np.array(points).max(axis=0)
    assert mask[rows:].sum() == 0
    assert mask[:, columns:].sum() == 0


def test_a_hairline_polygon_does_not_vanish():
    mask = paint((20, 20), polygon=[[2, 3], [17, 13], [17, 13.01], [2, 3.01]])
    assert mask.any(axis=0)[2:17].all()


def disk_by_supersampling(center, radius, shape, factor=40):
    """Oracle: how many of 40 x 40 places in each pixel are within the radius."""
    at = [(np.arange(size * factor) + 0.5) / factor for size in shape]
    x, y = center
    fine = (at[0][:, None] - y) ** 2 + (at[1][None] - x) ** 2 < radius**2
    return fine.reshape(shape[0], factor, shape[1], factor).sum(axis=(1, 3))


@pytest.mark.parametrize(
    ("center", "radius"),
    [
        ((9.3, 7.8), 4.6),
        ((12.0, 9.0), 5.0),
        ((3.5, 3.5), 0.2),
        ((1.2, 13.1), 6.3),
        ((0, 0), 3.3),
        ((24, 20), 2.5),
        ((11, 8), 60),
    ],
)
def test_a_point_is_a_disk_that_holds_the_pixels_it_touches(center, radius):
    shape = (20, 24)
    share = disk_by_supersampling(center, radius, shape)
    mask = paint(shape, point=list(center), radius=radius).astype(bool)
    assert mask[share > 0].all()
    assert (mask & (share == 0)).sum() <= 2  # slivers between two of the places
    grown = disk_by_supersampling(center, radius * 1.02 + 0.05, shape)
    assert not mask[grown == 0].any()


def test_a_disk_does_not_spill_over_pixel_borders():
    mask = paint((9, 9), point=[4, 4], radius=2)
    assert np.argwhere(mask).min(axis=0).tolist() == [2, 2]
    assert np.argwhere(mask).max(axis=0).tolist() == [5, 5]
    assert mask.sum() == 16


def test_a_point_is_x_then_y():
    assert np.argwhere(paint((4, 9), point=[7.5, 1.5], radius=0.4)).tolist() == [[1, 7]]


@pytest.mark.parametrize("unknown", [{}, {"radius": None}])
@pytest.mark.parametrize("shape", [(1024, 512), (100, 1024)])
def test_without_a_radius_it_is_50_pixels_of_1024(unknown, shape):
    mask = paint(shape, point=[300, 40], **unknown)
    np.testing.assert_array_equal(mask, paint(shape, point=[300, 40], radius=50))
    half = paint((512, 300), point=[150, 20], **unknown)
    np.testing.assert_array_equal(half, paint((512, 300), point=[150, 20], radius=25))


def test_a_later_region_does_not_wipe_out_an_earlier_one():
    regions = [
        {"box": [2, 2, 5, 5]},
        {"point": [2, 2], "radius": 1.2},
        {"polygon": [[4, 4], [8, 4], [4, 8]]},
    ]
    alone = [regions_to_mask([one], ["opacity"], (9, 9)) for one in regions]
    together = regions_to_mask(regions, ["opacity"], (9, 9))
    np.testing.assert_array_equal(together, np.max(alone, axis=0))


@pytest.mark.parametrize("shift", [(-4, -3), (5, 4), (-4, 4)])
def test_a_polygon_is_clipped_to_the_image(shift):
    points = np.array([[2.0, 1.5], [8.0, 2.0], [5.0, 6.5]])
    shape, pad = (7, 9), 10
    whole = paint((27, 29), polygon=(points + pad + shift).tolist())
    np.testing.assert_array_equal(
        paint(shape, polygon=(points + shift).tolist()), whole[pad : pad + 7, pad : pad + 9]
    )


def test_each_finding_has_its_channel_and_null_fills_all():
    regions = [{"box": [0, 0, 1, 1], "finding": "fracture"}, {"box": [2, 0, 3, 1], "finding": None}]
    mask = regions_to_mask(regions, FINDINGS, (1, 3))
    assert mask.tolist() == [[[0, 0, 1]], [[1, 0, 1]]]
    assert mask.dtype == np.uint8


@pytest.mark.parametrize("regions", [None, []])
def test_nothing_drawn_is_zeros(regions):
    assert regions_to_mask(regions, FINDINGS, (2, 3)).tolist() == np.zeros((2, 2, 3)).tolist()


@pytest.mark.parametrize("ending", ["png", "nii.gz"])
def test_a_mask_file_is_inside_where_it_is_not_zero(tmp_path, ending):
    pixels = np.zeros((4, 7), np.uint8)
    pixels[0, 5] = 3
    path = tmp_path / f"mask.{ending}"
    if ending == "png":
        Image.fromarray(pixels).save(path)
    else:
        nibabel.save(nibabel.Nifti1Image(pixels.T[..., None], np.eye(4)), path)
    assert np.argwhere(paint((4, 7), mask=str(path))).tolist() == [[0, 5]]


def test_a_colored_mask_is_inside_where_it_is_not_black(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 3] = 255  # opaque everywhere
    pixels[1, 0, 2] = 200
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    assert np.argwhere(paint((2, 2), mask=str(tmp_path / "mask.png"))).tolist() == [[1, 0]]


def test_names_both_sizes_when_the_mask_file_has_another_one(tmp_path):
    Image.fromarray(np.ones((3, 5), np.uint8)).save(tmp_path / "DOE.png")
    message = "region 0: .*image, 4 rows x 7 columns, got 3 rows x 5 columns"
    with pytest.raises(RegionError, match=message) as raised:
        paint((4, 7), mask=str(tmp_path / "DOE.png"))
    assert "DOE" not in str(raised.value)


@pytest.mark.parametrize("finding", [None, "opacity"])
def test_a_mask_file_that_marks_nothing_is_no_region(tmp_path, finding):
    Image.fromarray(np.zeros((6, 9), np.uint8)).save(tmp_path / "DOE.png")
    message = (
        "region 0: the mask file must mark something, got only zeros. Write an empty list of "
        r"regions if nothing was found\."
    )
    with pytest.raises(RegionError, match=message) as raised:
        paint(mask=str(tmp_path / "DOE.png"), finding=finding)
    assert "DOE" not in str(raised.value)


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_mask_file_that_cannot_be_read_is_said_without_its_name(tmp_path, content):
    path = tmp_path / "DOE_JOHN.png"
    if content:
        path.write_bytes(content)
    with pytest.raises(RegionError, match=r"mask file must exist|must be a readable PNG") as raised:
        paint(mask=str(path))
    assert "DOE" not in str(raised.value)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"box": [9, 0, 12, 2]}, r"must lie in the image, got an image of 9 columns \(x\) and 6"),
        ({"box": [-3, 0, -0.2, 2]}, "must lie in the image"),
        ({"polygon": [[0, 7], [3, 7], [3, 9]]}, "the polygon .* must lie in the image"),
        ({"polygon": [[-9, 5], [5, -9], [-9, -9]]}, "one that passes beside it"),
        ({"box": [2, 2, 2, 5]}, "x_min < x_max and y_min < y_max, got 2, 2, 2, 5"),
        ({"box": [4, 2, 2, 5]}, "x_min < x_max"),
        ({"box": [1, 2, 3]}, "got 3 numbers"),
        ({"box": [1, 2, float("nan"), 4]}, "finite numbers"),
        ({"box": [1, 2, "wide", 4]}, "`box` must be numbers"),
        ({"polygon": [[1, 2], [3, 4]]}, "at least 3 points"),
        ({"polygon": [[1, 2], [3, 2], [2, 2]]}, "must have an area"),
        ({}, "exactly one of box, polygon, point, mask, got none"),
        ({"point": [9.1, 2]}, r"the point \(x 9.1, y 2\) must lie in the image, got .* 9 columns"),
        ({"point": [2, -0.1], "radius": 3}, "the point .* must lie in the image"),
        ({"point": [2]}, "`point` must be x, y, got 1 numbers"),
        ({"point": [2, 2], "radius": 0}, "`radius` must be one number above 0"),
        ({"point": [2, 2], "radius": -1}, "`radius` must be one number above 0"),
        ({"point": [2, 2], "radius": [1, 2]}, "`radius` must be one number above 0"),
        ({"point": [2, 2], "radius": float("inf")}, "`radius` must be finite"),
        ({"point": [2, 2], "radius": "wide"}, "`radius` must be numbers"),
        ({"box": [0, 0, 1, 1], "mask": "x.png"}, "got box, mask"),
        ({"box": [0, 0, 1, 1], "finding": "opacty"}, "Did you mean `opacity`"),
    ],
)
def test_refuses_what_cannot_be_drawn(region, message):
    with pytest.raises(RegionError, match=f"region 0: .*{message}"):
        paint(**region)
