# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.transform import downscale_local_mean

from monai_kd.transforms.resize import SquarePadResized, square_pad_geometry

SIZES = [(100, 80), (37, 91), (64, 64), (33, 20), (20, 7), (200, 31), (1, 5)]


def resized(size=32, **item):
    return SquarePadResized("image", spatial_size=size, mask_keys="region_mask")(item)


def one_mark(height, width, row, column):
    image = torch.zeros(1, height, width)
    image[0, row, column] = 1
    return image


@pytest.mark.parametrize("shape", SIZES)
def test_a_mark_never_vanishes_and_the_mask_holds_it(shape):
    rng = np.random.RandomState(0)
    for _ in range(20):
        row, column = rng.randint(shape[0]), rng.randint(shape[1])
        mark = one_mark(*shape, row, column)
        out = resized(image=mark, region_mask=mark)
        assert out["image"].max() > 0
        assert (out["region_mask"][out["image"] == out["image"].max()] == 1).any()
        assert set(out["region_mask"].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("shape", SIZES)
def test_points_land_where_their_pixel_lands_and_come_back(shape):
    geometry = square_pad_geometry(*shape, spatial_size=32)
    rng = np.random.RandomState(1)
    for _ in range(20):
        row, column = rng.randint(shape[0]), rng.randint(shape[1])
        out = resized(
            image=one_mark(*shape, row, column), region_mask=one_mark(*shape, row, column)
        )
        x, y = geometry.to_resized([column + 0.5, row + 0.5])
        assert out["region_mask"][0, int(y), int(x)] == 1
        rows, columns = np.nonzero(out["region_mask"][0].numpy())
        box = geometry.to_resized([column, row, column + 1, row + 1])
        assert (np.floor(box[:2]) <= [columns.min(), rows.min()]).all()
        assert (np.ceil(box[2:]) >= [columns.max() + 1, rows.max() + 1]).all()
        np.testing.assert_allclose(
            geometry.to_stored(box), [column, row, column + 1, row + 1], atol=1e-9
        )


def test_the_weight_of_a_bright_spot_stays_at_its_point():
    """Oracle: the center of mass of the resized spot."""
    image = one_mark(240, 160, 100, 30)
    out = resized(48, image=image, region_mask=image)["image"][0].numpy()
    rows, columns = np.mgrid[0:48, 0:48] + 0.5
    center = [(columns * out).sum() / out.sum(), (rows * out).sum() / out.sum()]
    expected = square_pad_geometry(240, 160, spatial_size=48).to_resized([30.5, 100.5])
    np.testing.assert_allclose(center, expected, atol=0.15)


def test_a_picture_is_centered_on_black():
    out = resized(40, image=torch.ones(1, 40, 20), region_mask=torch.ones(1, 40, 20))
    for key in ("image", "region_mask"):
        assert out[key].shape == (1, 40, 40)
        assert out[key][0, :, 10:30].min() == 1
        assert out[key].sum() == 40 * 20


def test_shrinking_is_antialiased():
    checkers = torch.from_numpy(np.indices((128, 128)).sum(0) % 2)[None].float()
    out = resized(32, image=checkers, region_mask=checkers)["image"]
    assert (out[0, 2:-2, 2:-2] - 0.5).abs().max() < 0.02
    noise = torch.rand(1, 128, 128, generator=torch.Generator().manual_seed(0))
    ours = resized(32, image=noise, region_mask=noise > 0.5)["image"][0].numpy()
    mean = downscale_local_mean(noise[0].numpy(), (4, 4))
    assert np.corrcoef(ours.ravel(), mean.ravel())[0, 1] > 0.85


def test_enlarging_keeps_every_pixel_of_a_mask_as_a_block():
    mask = one_mark(8, 8, 3, 5)
    out = resized(32, image=mask, region_mask=mask)["region_mask"]
    assert torch.equal(out, mask.repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_the_right_size_is_left_as_it_is():
    image = torch.rand(1, 32, 32)
    torch.testing.assert_close(resized(image=image, region_mask=image > 0.5)["image"], image)


def test_results_are_plain_keep_their_range_and_the_type_of_masks():
    image = torch.rand(1, 50, 70)
    item = {"image": MetaTensor(image), "region_mask": torch.ones(2, 50, 70, dtype=torch.uint8)}
    out = resized(**item)
    assert type(out["image"]) is torch.Tensor
    assert out["region_mask"].dtype == torch.uint8
    assert out["region_mask"].shape == (2, 32, 32)
    assert out["image"].min() >= 0
    assert out["image"].max() <= 1
    assert torch.equal(item["image"].as_tensor(), image)


def test_a_missing_mask_is_passed_over_and_a_missing_image_is_an_error():
    assert set(resized(image=torch.ones(1, 4, 4))) == {"image"}
    with pytest.raises(KeyError, match="image"):
        resized(region_mask=torch.ones(1, 4, 4))


def test_points_and_boxes_of_any_leading_shape_are_mapped():
    geometry = square_pad_geometry(100, 200, spatial_size=50)
    boxes = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_allclose(geometry.to_stored(geometry.to_resized(boxes)), boxes)
    assert geometry.to_resized(np.zeros((0, 4))).shape == (0, 4)


def test_refuses_a_size_below_one_pixel():
    with pytest.raises(ValueError, match="`spatial_size` must be at least 1 pixel, got 0"):
        SquarePadResized("image", spatial_size=0)


@pytest.mark.parametrize("shape", [(100, 80), (7, 300)])
def test_the_stored_size_comes_with_the_image_when_it_is_wanted(shape):
    image = torch.zeros(1, *shape)
    item = SquarePadResized("image", spatial_size=32, size_key="stored_size")({"image": image})
    assert item["stored_size"].dtype == torch.float32
    assert item["stored_size"].tolist() == list(shape)
    assert set(SquarePadResized("image", spatial_size=32)({"image": image})) == {"image"}
