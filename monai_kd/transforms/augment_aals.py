# SPDX-License-Identifier: Apache-2.0
"""What aals draws anew each time: one geometry for both networks, noise for the student alone.

The teacher's map is the student's target cell by cell, so both must see every bone in one place;
that the student sees a disturbed picture is what it can learn from a teacher that is its own
average (Tarvainen and Valpola, NeurIPS 2017). Ranges are ours; Wang et al. (IPMI 2021) name none.
"""

from __future__ import annotations

from monai.transforms import Compose, CopyItemsd

from monai_kd.transforms.intensity import RandBrightnessContrastd, RandGammad
from monai_kd.transforms.shift_scale_rotate import RandShiftScaleRotated

__all__ = ["aals_augmentation"]

_MASK_KEYS = ("region_mask", "hidden_region_mask")


def aals_augmentation(
    *,
    flip: float = 0.5,
    shift: float = 0.05,
    degrees: float = 15.0,
    scale: float = 0.1,
    noise: float = 0.2,
) -> Compose:
    """Return the augmentation; it adds ``teacher_image``, the film before the noise.

    ``image`` is ``(1, H, W)`` in [0, 1], the masks ``(C, H, W)``; an item may lack masks.

    Args:
        flip: probability of a mirrored film, in [0, 1]; 0 where left and right matter.
        shift: largest shift along each axis, as a share of the film; 0 never shifts. With few drawn
            films it matters: their fractures would always lie on the same cells.
        degrees: largest rotation in either direction; 0 never rotates.
        scale: the zoom is drawn from ``1 - scale`` to ``1 + scale``; 0 never zooms.
        noise: largest relative change of contrast, change of brightness, and distance of the gamma
            from 1, in [0, 1); 0 shows the student what the teacher sees.

    Raises:
        ValueError: if ``noise`` is out of range.
    """
    if not 0 <= noise < 1:
        raise ValueError(
            f"aals_augmentation: `noise` must be in [0, 1), got {noise}. 0.2 is the default, 0 "
            "switches it off."
        )
    return Compose(
        [
            RandShiftScaleRotated(
                "image",
                mask_keys=_MASK_KEYS,
                shift=shift,
                scale=scale,
                degrees=degrees,
                flip=flip,
            ),
            CopyItemsd("image", names="teacher_image"),
            RandBrightnessContrastd("image", limit=noise),
            RandGammad("image", limits=(1 - noise, 1 + noise)),
        ]
    )
