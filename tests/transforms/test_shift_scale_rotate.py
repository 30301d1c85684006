# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from scipy import ndimage

from monai_kd.transforms.shift_scale_rotate import RandShiftScaleRotated, shift_scale_rotate


def picture(height=48, width=64):
    noise = torch.rand(1, height, width, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(F.pad(noise, (4,) * 4), 9, 1)


def moved(image, mode="bilinear", **draw):
    grid = shift_scale_rotate(tuple(image.shape[1:]), **draw)
    return F.grid_sample(image[None], grid, mode=mode, align_corners=False)[0]


def transform(**settings):
    return RandShiftScaleRotated(
        ("image", "region_image"), mask_keys="region_mask", **settings
    ).set_random_state(0)


# Oracle: scipy.ndimage.affine_transform with the inverse written out in rows and columns.
@pytest.mark.parametrize("size", [(48, 48), (48, 64)])
@pytest.mark.parametrize(
    ("shift", "scale", "degrees"),
    [
        ((0.1, -0.05), 1.0, 0.0),
        ((0.0, 0.0), 1.4, 0.0),
        ((0, 0), 1.0, 10.0),
        ((0.1, 0.1), 0.6, -9.0),
    ],
)
def test_pixels_move_as_scipy_moves_them(size, shift, scale, degrees):
    image = picture(*size)
    angle = np.deg2rad(degrees)
    # counterclockwise on a screen whose rows grow downwards: (row, column) of the source
    inverse = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
    center = (np.array(size) - 1) / 2
    move = np.array([shift[1] * size[0], shift[0] * size[1]])
    expected = ndimage.affine_transform(
        image[0].numpy(), inverse, center - inverse @ (center + move), order=1, mode="grid-constant"
    )
    ours = moved(image, shift=shift, scale=scale, degrees=degrees)[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=2e-4)


def test_a_positive_angle_turns_counterclockwise_and_a_positive_shift_goes_right_and_down():
    image = torch.zeros(1, 41, 41)
    image[0, 20, 36] = 1  # right of the center
    row, column = np.argwhere(moved(image, shift=(0, 0), scale=1, degrees=30)[0].numpy() > 0.3)[0]
    assert (row, column) == (12, 34)
    shifted = moved(image, shift=(-10 / 41, 5 / 41), scale=1, degrees=0)[0]
    assert shifted[25, 26].item() == pytest.approx(1, abs=1e-5)


def test_the_identity_changes_nothing_and_the_border_comes_in_black():
    image = picture() + 0.1
    torch.testing.assert_close(moved(image, shift=(0, 0), scale=1, degrees=0), image)
    assert moved(image, shift=(0.25, 0), scale=1, degrees=0)[0, :, :15].max() == 0


def test_image_region_image_and_mask_move_alike():
    mask = (picture() > 0.5).float()
    augment = transform()
    for _ in range(20):
        out = augment({"image": mask, "region_image": mask, "region_mask": mask.repeat(3, 1, 1)})
        assert torch.equal(out["image"], out["region_image"])
        assert out["region_mask"].shape == (3, 48, 64)
        assert set(out["region_mask"].unique().tolist()) <= {0.0, 1.0}
        assert ((out["image"][0] > 0.5) != (out["region_mask"][0] > 0)).float().mean() < 0.06


def test_a_box_drawn_round_a_marked_pixel_still_holds_it():
    rng = np.random.RandomState(0)
    augment = transform()
    for _ in range(200):
        row, column = rng.randint(4, 60, size=2)
        image, mask = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
        image[0, row, column] = 1
        mask[0, row - 2 : row + 3, column - 2 : column + 3] = 1
        out = augment({"image": image, "region_mask": mask})
        assert (out["region_mask"][out["image"] > 0] == 1).all()


def test_draws_fill_the_published_ranges(monkeypatch):
    draws = []

    def record(size, **draw):
        draws.append([*draw["shift"], draw["scale"], draw["degrees"]])
        return shift_scale_rotate(size, **draw)

    monkeypatch.setattr("monai_kd.transforms.shift_scale_rotate.shift_scale_rotate", record)
    augment = transform()
    for _ in range(300):
        augment({"image": torch.zeros(1, 4, 4)})
    low, high = np.min(draws, 0), np.max(draws, 0)
    np.testing.assert_allclose(low, [-0.1, -0.1, 0.5, -10], rtol=0.03)
    np.testing.assert_allclose(high, [0.1, 0.1, 1.5, 10], rtol=0.03)
    assert (low >= [-0.1, -0.1, 0.5, -10]).all()
    assert (high <= [0.1, 0.1, 1.5, 10]).all()


def test_the_result_is_plain_keeps_its_type_and_leaves_the_item_alone():
    item = {"image": MetaTensor(picture()), "region_mask": picture() > 0.5, "label": 1}
    out = transform()(item)
    assert type(out["image"]) is torch.Tensor
    assert out["region_mask"].dtype == torch.bool
    assert torch.equal(item["image"].as_tensor(), picture())
    assert set(out) == {"image", "region_mask", "label"}


def test_probability_0_moves_nothing():
    item = {"image": picture()}
    assert torch.equal(transform(prob=0.0)(item)["image"], item["image"])


def test_refuses_a_mask_of_another_size():
    item = {"image": picture(), "region_mask": torch.zeros(1, 8, 8)}
    with pytest.raises(
        ValueError, match=r"`region_mask` must have the size.*\(48, 64\) and \(8, 8\)"
    ):
        transform()(item)
