# SPDX-License-Identifier: Apache-2.0
"""Random sharpening, blur and motion blur with 3x3 kernels, as albumentations defines them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from torch import Tensor

from monai_kd.transforms.intensity import RandIntensityd

__all__ = ["RandBlurd", "RandMotionBlurd", "RandSharpend", "motion_kernel", "sharpen_kernel"]

_POINTS = [(row, column) for row in range(3) for column in range(3)]


class RandSharpend(RandIntensityd):
    """Mix the image with its sharpened self.

    Args:
        keys: see :class:`~monai_kd.transforms.RandIntensityd`.
        alpha: range of the share of the sharpened image, in [0, 1]; 0 changes nothing.
        lightness: range of the added brightness of the sharpened image; 1 keeps the mean.
        prob: see :class:`~monai_kd.transforms.RandIntensityd`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        alpha: tuple[float, float] = (0.2, 0.5),
        lightness: tuple[float, float] = (0.5, 1.0),
        prob: float = 1.0,
    ) -> None:
        super().__init__(keys, prob=prob)
        self.alpha = alpha
        self.lightness = lightness

    def draw(self) -> None:
        """Draw share and lightness."""
        alpha, lightness = self.R.uniform(*self.alpha), self.R.uniform(*self.lightness)
        self._kernel = sharpen_kernel(alpha, lightness)

    def change(self, image: Tensor) -> Tensor:
        """Return the image filtered with the drawn kernel.

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        return _filter(image, self._kernel)


class RandBlurd(RandIntensityd):
    """Replace each pixel by the mean of its 3x3 neighborhood; nothing is drawn but whether.

    Args:
        keys: see :class:`~monai_kd.transforms.RandIntensityd`.
        prob: see :class:`~monai_kd.transforms.RandIntensityd`.
    """

    def draw(self) -> None:
        """Draw nothing: the kernel is fixed."""

    def change(self, image: Tensor) -> Tensor:
        """Return the blurred image.

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        return _filter(image, torch.full((3, 3), 1 / 9))


class RandMotionBlurd(RandIntensityd):
    """Blur along a line of two or three pixels between two drawn points of a 3x3 window.

    Args:
        keys: see :class:`~monai_kd.transforms.RandIntensityd`.
        prob: see :class:`~monai_kd.transforms.RandIntensityd`.
    """

    def draw(self) -> None:
        """Draw two different points, each ordered pair with the same probability."""
        start, step = self.R.randint(9), self.R.randint(1, 9)
        self._kernel = motion_kernel(_POINTS[start], _POINTS[(start + step) % 9])

    def change(self, image: Tensor) -> Tensor:
        """Return the blurred image.

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        return _filter(image, self._kernel)


def sharpen_kernel(alpha: float, lightness: float) -> Tensor:
    """Return ``(1 - alpha) * identity + alpha * sharpening``, ``(3, 3)``.

    Args:
        alpha: share of the sharpened image, in [0, 1].
        lightness: 1 keeps the mean of the image, less darkens, more brightens.

    Example:
        >>> sharpen_kernel(0.5, 1.0)
        tensor([[-0.5000, -0.5000, -0.5000],
                [-0.5000,  5.0000, -0.5000],
                [-0.5000, -0.5000, -0.5000]])
    """
    kernel = torch.full((3, 3), -alpha)
    kernel[1, 1] = (1 - alpha) + alpha * (8 + lightness)
    return kernel


def motion_kernel(start: tuple[int, int], stop: tuple[int, int]) -> Tensor:
    """Return a line of equal weights that sum to 1, ``(3, 3)``.

    Args:
        start: row and column of one end, each 0 to 2.
        stop: row and column of the other end, not ``start``.

    Example:
        >>> motion_kernel((0, 0), (0, 1))
        tensor([[0.5000, 0.5000, 0.0000],
                [0.0000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.0000]])
    """
    steps = max(abs(stop[0] - start[0]), abs(stop[1] - start[1]))
    kernel = torch.zeros(3, 3)
    for step in range(steps + 1):
        row = start[0] + (stop[0] - start[0]) * step / steps
        column = start[1] + (stop[1] - start[1]) * step / steps
        kernel[round(row), round(column)] = 1
    return kernel / kernel.sum()


def _filter(image: Tensor, kernel: Tensor) -> Tensor:
    """Correlate with a 3x3 kernel; the border is mirrored about the outermost pixel."""
    padded = F.pad(image[:, None], (1, 1, 1, 1), mode="reflect")  # (C, 1, H + 2, W + 2)
    return F.conv2d(padded, kernel.to(image)[None, None])[:, 0]
