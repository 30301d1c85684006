# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_kd.transforms.sharpness import (
    RandBlurd,
    RandMotionBlurd,
    RandSharpend,
    motion_kernel,
    sharpen_kernel,
)

KEYS = ("image", "region_image")


def images():
    noise = torch.rand(2, 1, 12, 9, generator=torch.Generator().manual_seed(0))
    return {"image": 0.3 + 0.4 * noise[0], "region_image": 0.3 + 0.4 * noise[1]}


@pytest.mark.parametrize("transform", [RandSharpend, RandBlurd, RandMotionBlurd])
def test_images_are_filtered_as_scipy_does_with_one_kernel_for_all(transform):
    transform = transform(KEYS).set_random_state(0)
    for _ in range(10):
        out = transform(images())
        kernel = getattr(transform, "_kernel", torch.full((3, 3), 1 / 9)).numpy()
        for key, image in images().items():
            expected = ndimage.correlate(image[0].numpy(), kernel, mode="mirror").clip(0, 1)
            np.testing.assert_allclose(out[key][0].numpy(), expected, atol=1e-6)


def test_alpha_0_changes_nothing_and_lightness_1_keeps_the_mean():
    expected = torch.zeros(3, 3)
    expected[1, 1] = 1
    assert torch.equal(sharpen_kernel(0.0, 0.5), expected)
    assert sharpen_kernel(0.4, 1.0).sum().item() == pytest.approx(1)
    assert sharpen_kernel(0.5, 0.5).sum().item() == pytest.approx(0.75)


def test_sharpening_is_drawn_from_its_ranges():
    transform = RandSharpend("image").set_random_state(0)
    alphas, lightness = [], []
    for _ in range(100):
        transform({"image": torch.zeros(1, 4, 4)})
        alphas.append(-transform._kernel[0, 0].item())
        lightness.append((transform._kernel.sum().item() - 1) / alphas[-1] + 1)
    assert 0.2 <= min(alphas) < 0.21 < 0.49 < max(alphas) <= 0.5
    assert min(lightness) >= 0.5 - 1e-5
    assert max(lightness) <= 1 + 1e-5


def test_every_motion_is_a_line_of_two_or_three_equal_weights_between_its_ends():
    points = [(row, column) for row in range(3) for column in range(3)]
    for start in points:
        for stop in points:
            if start == stop:
                continue
            kernel = motion_kernel(start, stop)
            assert kernel[start] == kernel[stop] == kernel.max()
            assert kernel.sum().item() == pytest.approx(1)
            assert (kernel > 0).sum() == max(abs(start[0] - stop[0]), abs(start[1] - stop[1])) + 1


def test_a_diagonal_motion_passes_the_center():
    assert torch.equal(motion_kernel((0, 0), (2, 2)), torch.eye(3) / 3)


def test_all_motions_are_drawn_and_none_stands_still():
    transform = RandMotionBlurd("image").set_random_state(0)
    seen = set()
    for _ in range(1000):
        transform({"image": torch.zeros(1, 4, 4)})
        seen.add(tuple(transform._kernel.flatten().tolist()))
    points = [(row, column) for row in range(3) for column in range(3)]
    every = {
        tuple(motion_kernel(start, stop).flatten().tolist())
        for start in points
        for stop in points
        if start != stop
    }
    assert seen == every
