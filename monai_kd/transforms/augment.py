# SPDX-License-Identifier: Apache-2.0
"""What is drawn anew each time an image is seen: the augmentations of the published hkd method.

Source: Schaudt et al., "Leveraging human expert image annotations to improve pneumonia
differentiation through human knowledge distillation", Scientific Reports 13:9203, 2023. Ranges the
paper leaves open are the defaults of albumentations, which its code uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.transforms import Compose, Identityd, OneOf

from monai_kd.transforms.clahe import RandCLAHEd
from monai_kd.transforms.intensity import RandBrightnessContrastd, RandGammad, RandValueShiftd
from monai_kd.transforms.sharpness import RandBlurd, RandMotionBlurd, RandSharpend
from monai_kd.transforms.shift_scale_rotate import RandShiftScaleRotated
from monai_kd.utils import check_choice

__all__ = ["augmentation", "no_augmentation", "strong_augmentation", "weak_augmentation"]

_IMAGE_KEYS = ("image", "region_image")
_MASK_KEYS = ("region_mask",)


def augmentation(
    name: str,
    *,
    image_keys: Sequence[str] = _IMAGE_KEYS,
    mask_keys: Sequence[str] = _MASK_KEYS,
) -> Compose:
    """Return an augmentation by its name.

    Args:
        name: ``"none"``, ``"weak"`` or ``"strong"``.
        image_keys: images that share every draw, each ``(1, H, W)``, float, in [0, 1].
        mask_keys: masks that move with them, ``(C, H, W)``, 0 or 1. Missing keys are passed over.

    Raises:
        ValueError: if there is no augmentation of this name.
    """
    check_choice("augmentation", "name", name, ("none", "weak", "strong"))
    if name == "none":
        return no_augmentation()
    make = weak_augmentation if name == "weak" else strong_augmentation
    return make(image_keys=image_keys, mask_keys=mask_keys)


def no_augmentation() -> Compose:
    """Return a transform that changes nothing."""
    return Compose([])


def weak_augmentation(
    *, image_keys: Sequence[str] = _IMAGE_KEYS, mask_keys: Sequence[str] = _MASK_KEYS
) -> Compose:
    """Return the weak augmentation: shift 10%, zoom 0.5-1.5, rotation 10 degrees, no flip.

    Args:
        image_keys: see :func:`augmentation`.
        mask_keys: see :func:`augmentation`.
    """
    return Compose([RandShiftScaleRotated(image_keys, mask_keys=mask_keys)])


def strong_augmentation(
    *, image_keys: Sequence[str] = _IMAGE_KEYS, mask_keys: Sequence[str] = _MASK_KEYS
) -> Compose:
    """Return the strong augmentation: the weak one, then contrast, sharpness and brightness.

    Each of the three groups changes the images with probability 0.9, by one of its members.

    Args:
        image_keys: see :func:`augmentation`.
        mask_keys: see :func:`augmentation`.
    """
    keys = tuple(image_keys)
    return Compose(
        [
            RandShiftScaleRotated(keys, mask_keys=mask_keys),
            _one_of(keys, RandCLAHEd(keys), RandBrightnessContrastd(keys), RandGammad(keys)),
            _one_of(keys, RandSharpend(keys), RandBlurd(keys), RandMotionBlurd(keys)),
            _one_of(keys, RandBrightnessContrastd(keys), RandValueShiftd(keys)),
        ]
    )


def _one_of(keys: tuple[str, ...], *members: Any, prob: float = 0.9) -> OneOf:
    """With probability ``prob`` one member, each equally likely; otherwise nothing."""
    weights = [prob / len(members)] * len(members)
    return OneOf([*members, Identityd(keys, allow_missing_keys=True)], [*weights, 1 - prob])
