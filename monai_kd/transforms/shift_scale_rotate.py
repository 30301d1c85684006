# SPDX-License-Identifier: Apache-2.0
"""Random shift, zoom, rotation and mirroring of an image and its masks in one step.

MONAI's ``RandAffined`` does the same per key and with metadata; see ``benchmarks/decoded_cache.py``
for both timings.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import ensure_tuple
from torch import Tensor

from monai_kd.transforms.intensity import plain

__all__ = ["RandShiftScaleRotated", "shift_scale_rotate"]


class RandShiftScaleRotated(RandomizableTransform, MapTransform):
    """Shift, zoom, rotate and mirror about the center; what comes in from outside is black.

    Images are interpolated linearly; masks take the nearest pixel and stay 0 or 1. Keys that an
    item lacks are passed over.

    Args:
        keys: images, each ``(1, H, W)``, float, in [0, 1].
        mask_keys: masks of the same size, ``(C, H, W)``.
        shift: largest shift along each axis, as a share of the image; 0 never shifts.
        scale: the zoom is drawn from ``1 - scale`` to ``1 + scale``; 0 never zooms.
        degrees: largest rotation in either direction; 0 never rotates.
        flip: probability that left and right are exchanged, in [0, 1]; 0 never.
        prob: probability that the item is moved at all, in [0, 1]; 0 never, 1 always.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        mask_keys: KeysCollection = (),
        shift: float = 0.1,
        scale: float = 0.5,
        degrees: float = 10.0,
        flip: float = 0.0,
        prob: float = 1.0,
    ) -> None:
        image_keys = ensure_tuple(keys)
        MapTransform.__init__(self, (*image_keys, *ensure_tuple(mask_keys)), True)
        RandomizableTransform.__init__(self, prob)
        self.mask_keys = set(ensure_tuple(mask_keys))
        self.shift, self.scale, self.degrees, self.flip = shift, scale, degrees, flip

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with all images and masks moved alike.

        Args:
            data: item that holds the images and masks.

        Raises:
            ValueError: if the images and masks of the item differ in size.
        """
        out = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return out
        draw = self.R.uniform(-1, 1, size=4)
        mirrored = self.flip > 0 and self.R.uniform() < self.flip
        grids: dict[torch.Size, Tensor] = {}
        for key in self.key_iterator(out):
            image = plain(out[key])
            if image.shape[-2:] not in grids:
                grids[image.shape[-2:]] = shift_scale_rotate(
                    image.shape[-2:],
                    shift=(self.shift * draw[0], self.shift * draw[1]),
                    scale=1 + self.scale * draw[2],
                    degrees=self.degrees * draw[3],
                    mirrored=mirrored,
                )
            if len(grids) > 1:
                sizes = " and ".join(str(tuple(size)) for size in grids)
                raise ValueError(
                    f"RandShiftScaleRotated: `{key}` must have the size of the other images and "
                    f"masks, got {sizes}. Give every spatial transform all of these keys."
                )
            mode = "nearest" if key in self.mask_keys else "bilinear"
            (grid,) = grids.values()
            out[key] = F.grid_sample(image[None].float(), grid, mode, align_corners=False)[0].to(
                image.dtype
            )
        return out


def shift_scale_rotate(
    size: tuple[int, ...],
    *,
    shift: tuple[float, float],
    scale: float,
    degrees: float,
    mirrored: bool = False,
) -> Tensor:
    """Return where each output pixel looks, for :func:`torch.nn.functional.grid_sample`.

    Args:
        size: ``(H, W)``.
        shift: move right by ``shift[0] * W`` and down by ``shift[1] * H`` pixels.
        scale: zoom, above 0; 2 makes things twice as large.
        degrees: rotation, counterclockwise as seen on the screen.
        mirrored: whether left and right of the image are exchanged first.

    Returns:
        Grid, ``(1, H, W, 2)``, x before y, -1 to 1 from edge to edge.
    """
    height, width = size
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    right, down = 2 * shift[0], 2 * shift[1]  # in units of half the image
    xx, xy = cosine / scale, -sine / scale * height / width
    yx, yy = sine / scale * width / height, cosine / scale
    theta = torch.tensor(
        [[[xx, xy, -(xx * right + xy * down)], [yx, yy, -(yx * right + yy * down)]]],
        dtype=torch.float32,
    )
    if mirrored:
        theta[:, 0] = -theta[:, 0]
    return F.affine_grid(theta, [1, 1, height, width], align_corners=False)
