# SPDX-License-Identifier: Apache-2.0
"""The image as hkd's teacher sees it: only what the expert pointed at is left."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import MapTransform
from torch import Tensor

from monai_kd.utils import check_choice

__all__ = ["REGION_IMAGE_MODES", "RegionImaged", "keep_region"]

REGION_IMAGE_MODES = ("mask", "lung", "blur", "whole")


def keep_region(image: Tensor, region: Tensor, *, mode: str = "mask") -> Tensor:
    """Return the image with only the region left; an empty region leaves it whole.

    Args:
        image: ``(1, H, W)`` in [0, 1].
        region: 0 or 1, ``(C, H, W)``; inside is where any channel is not 0.
        mode: ``whole`` keeps the image as it is; ``blur`` blurs the outside with a Gaussian of one
            twentieth of the shorter side; otherwise it becomes black.

    Returns:
        A new tensor, shape and dtype of ``image``.

    Example:
        >>> keep_region(torch.ones(1, 1, 3), torch.tensor([[[0.0, 1.0, 0.0]]]))
        tensor([[[0., 1., 0.]]])
    """
    inside = (region > 0).any(dim=0, keepdim=True)
    if mode == "whole" or not inside.any():
        return image.clone()
    outside = _blurred(image) if mode == "blur" else torch.zeros_like(image)
    return torch.where(inside, image, outside)


class RegionImaged(MapTransform):
    """Make ``region_image`` from ``image`` and its masks; comes after ``RegionsToMaskd``.

    - ``mask``: outside the drawn regions is black; an image without drawn regions stays whole;
    - ``lung``: the same, but an image without drawn regions shows its lungs if it has a
      ``lung_mask``;
    - ``blur``: outside the drawn regions is blurred; an image without drawn regions stays whole;
    - ``whole``: every image stays whole, so the teacher sees what the student sees.

    Args:
        keys: the image, ``(1, H, W)``.
        mode: one of the above.

    Raises:
        ValueError: if ``mode`` is unknown.
    """

    def __init__(self, keys: str = "image", *, mode: str = "mask") -> None:
        super().__init__(keys)
        check_choice("RegionImaged", "mode", mode, REGION_IMAGE_MODES)
        self.mode = mode

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with ``region_image``.

        Raises:
            KeyError: if there is no ``region_mask`` yet.
            ValueError: if a mask has another size than the image.
        """
        out = dict(data)
        image = torch.as_tensor(out[self.keys[0]])
        if "region_mask" not in out:
            raise KeyError(
                "RegionImaged: the item must have `region_mask`, got none. "
                "Put RegionsToMaskd before it."
            )
        region = torch.as_tensor(out["region_mask"])
        lung_mask = out.get("lung_mask")
        if self.mode == "lung" and lung_mask is not None and not region.any():
            region = torch.as_tensor(lung_mask)
        if region.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                "RegionImaged: masks must have the size of the image, "
                f"{tuple(image.shape[-2:])}, got {tuple(region.shape[-2:])}. Give every spatial "
                "transform both keys, `image` and `region_mask` (and `lung_mask`)."
            )
        out["region_image"] = keep_region(image, region, mode=self.mode)
        return out


def _blurred(image: Tensor) -> Tensor:
    from scipy.ndimage import gaussian_filter

    sigma = min(image.shape[-2:]) / 20
    blurred = gaussian_filter(image.detach().cpu().numpy(), sigma=(0, sigma, sigma))
    return torch.from_numpy(blurred).to(image)
