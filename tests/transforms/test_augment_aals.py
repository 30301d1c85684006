# SPDX-License-Identifier: Apache-2.0
"""Teacher and student see every pixel in one place; the student alone sees noise."""

import pytest
import torch

from monai_kd.transforms import RandShiftScaleRotated, aals_augmentation


def film():
    image = torch.zeros(1, 64, 64)
    image[:, 20:40, 10:26] = 0.6
    mask = torch.zeros(2, 64, 64)
    mask[1, 20:40, 10:26] = 1
    return {"image": image, "region_mask": mask, "hidden_region_mask": mask.clone()}


def draws(**settings):
    made = aals_augmentation(**settings)
    for seed in range(12):
        made.set_random_state(seed)
        yield made(film())


def test_the_masks_follow_the_teachers_picture():
    for out in draws():
        bright = out["teacher_image"][0] > 0.3
        assert (bright == (out["region_mask"][1] > 0)).float().mean() > 0.97
        assert torch.equal(out["region_mask"], out["hidden_region_mask"])


def test_noise_moves_no_pixel_of_the_student():
    for out in draws():
        inside = out["teacher_image"][0] > 0.59
        values = out["image"][0][inside]
        assert values.max() - values.min() < 0.02  # one gray value stays one gray value


def test_the_student_alone_sees_noise():
    assert any(not torch.equal(out["image"], out["teacher_image"]) for out in draws())
    for out in draws(noise=0):
        torch.testing.assert_close(out["image"], out["teacher_image"])


def test_noise_is_bounded():
    for out in draws(noise=0.1, flip=0, shift=0, degrees=0, scale=0):
        gray = float(out["image"][0, 30, 18])
        assert (0.6 * 0.9 - 0.1) ** 1.1 - 1e-3 <= gray <= (0.6 * 1.1 + 0.1) ** 0.9 + 1e-3


def test_films_are_shifted_by_up_to_a_twentieth():
    where = [out["region_mask"][1].nonzero().float().mean(0) for out in draws(degrees=0, scale=0)]
    away = torch.stack(where)[:, 0] - 29.5  # rows 20 to 39
    assert 1 < away.abs().max() <= 0.05 * 64 + 0.5


def test_a_mirrored_film_is_the_film_read_backwards():
    out = RandShiftScaleRotated("image", shift=0, scale=0, degrees=0, flip=1.0)(film())
    torch.testing.assert_close(out["image"], film()["image"].flip(2), atol=1e-5, rtol=0)


def test_a_mirrored_mask_is_exact():
    out = RandShiftScaleRotated((), mask_keys="region_mask", shift=0, scale=0, degrees=0, flip=1.0)(
        film()
    )
    assert torch.equal(out["region_mask"], film()["region_mask"].flip(2))


def test_half_of_the_films_are_mirrored():
    transform = RandShiftScaleRotated("image", shift=0, scale=0, degrees=0, flip=0.5)
    transform.set_random_state(3)
    left = [bool(transform(film())["image"][0, 30, 18] > 0.3) for _ in range(200)]
    assert 70 < sum(left) < 130


def test_without_mirroring_the_draws_are_those_of_before():
    old = RandShiftScaleRotated("image")
    new = RandShiftScaleRotated("image", flip=0.0)
    for transform in (old, new):
        transform.set_random_state(5)
    for _ in range(3):
        assert torch.equal(old(film())["image"], new(film())["image"])


def test_noise_of_one_is_refused():
    with pytest.raises(ValueError, match=r"`noise` must be in \[0, 1\), got 1"):
        aals_augmentation(noise=1)
