# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from skimage import exposure

from monai_kd.transforms.clahe import RandCLAHEd, equalize_adaptively

# Gray levels 3 * row + 7 * column + 11 * (row * column % 5), 16 x 16.
ROWS, COLUMNS = np.mgrid[0:16, 0:16]
LEVELS = (3 * ROWS + 7 * COLUMNS + 11 * (ROWS * COLUMNS % 5)).astype(np.uint8)


def image(levels=LEVELS):
    return torch.from_numpy(levels.astype(np.float32))[None] / 255


# Oracle: OpenCV 4.10.0, cv2.createCLAHE(clip, (tiles, tiles)).apply(LEVELS)[[0, 5, 12], ::5]
@pytest.mark.parametrize(
    ("clip_limit", "tiles", "expected"),
    [
        (2, 1, [[2, 29, 85, 150], [12, 51, 112, 176], [31, 87, 152, 213]]),
        (40, 2, [[4, 63, 58, 116], [28, 103, 90, 167], [20, 102, 91, 179]]),
        (2, 4, [[32, 64, 64, 96], [64, 88, 92, 112], [48, 86, 88, 144]]),
        (8, 2, [[8, 64, 61, 116], [32, 104, 93, 168], [24, 106, 93, 187]]),
        (4, 8, [[64, 128, 96, 128], [128, 191, 128, 191], [96, 128, 96, 128]]),
    ],
)
def test_it_agrees_with_opencv_to_its_rounding(clip_limit, tiles, expected):
    ours = equalize_adaptively(image(), clip_limit=clip_limit, tiles=tiles)[0] * 255
    assert (ours[[0, 5, 12], ::5] - torch.tensor(expected)).abs().max() <= 1


def test_one_tile_without_clipping_is_the_cumulative_histogram():
    ours = equalize_adaptively(image(), clip_limit=1e6, tiles=1)[0].numpy()
    cumulative, _ = exposure.cumulative_distribution(LEVELS, nbins=256)
    expected = (LEVELS.ravel()[None] <= LEVELS.ravel()[:, None]).mean(1).reshape(16, 16)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert ours.max() == pytest.approx(cumulative[-1])


def test_it_raises_local_contrast_as_scikit_image_does():
    ramp = torch.linspace(0.4, 0.6, 64).expand(1, 64, 64)
    noisy = ramp + 0.02 * torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
    ours = equalize_adaptively(noisy, clip_limit=40, tiles=8)[0].numpy()
    theirs = exposure.equalize_adapthist(noisy[0].numpy(), kernel_size=8, clip_limit=1.0)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95
    assert ours.std() > 3 * noisy.std().item()


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 50, 37), (1, 5, 9), (2, 24, 8), (1, 1, 1)])
def test_any_size_keeps_its_shape_and_range(shape):
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    equalized = equalize_adaptively(noise, clip_limit=2.0)
    assert equalized.shape == shape
    assert equalized.min() >= 0
    assert equalized.max() <= 1


def test_channels_do_not_mix():
    both = torch.cat([image(), 1 - image()])
    torch.testing.assert_close(
        equalize_adaptively(both, clip_limit=2.0)[1:],
        equalize_adaptively(1 - image(), clip_limit=2.0),
    )


def test_the_limit_is_drawn_within_its_range_once_for_all_images():
    transform = RandCLAHEd(("image", "region_image"), clip_limit=(2.0, 3.0)).set_random_state(0)
    limits = []
    for _ in range(50):
        out = transform({"image": image(), "region_image": image()})
        assert torch.equal(out["image"], out["region_image"])
        limits.append(transform._clip_limit)
    assert 2 <= min(limits) < 2.1
    assert 2.9 < max(limits) <= 3
