# SPDX-License-Identifier: Apache-2.0
"""Random changes of brightness, contrast and gamma: one draw for all images of an item.

MONAI's own versions stretch each image by its own minimum and maximum (gamma) and answer with
MetaTensors; here an image and its region image go through the same curve, as plain tensors.
Ranges are those of albumentations, which the published method used.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

__all__ = ["RandBrightnessContrastd", "RandGammad", "RandIntensityd", "RandValueShiftd"]


class RandIntensityd(RandomizableTransform, MapTransform):
    """Base of the random transforms that change values and move no pixel.

    A subclass draws its numbers in :meth:`draw` and uses them in :meth:`change`; the result is
    clamped to [0, 1]. Keys that an item lacks are passed over.

    Args:
        keys: images that share one draw, each ``(1, H, W)``, float, in [0, 1].
        prob: probability that the item is changed, in [0, 1]; 0 never, 1 always.
    """

    def __init__(self, keys: KeysCollection, *, prob: float = 1.0) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        RandomizableTransform.__init__(self, prob)

    def draw(self) -> None:
        """Draw from ``self.R`` what :meth:`change` needs."""
        raise NotImplementedError

    def change(self, image: Tensor) -> Tensor:
        """Return the changed image, same shape; values may leave [0, 1].

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        raise NotImplementedError

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the images changed.

        Args:
            data: item that holds the images.
        """
        out = dict(data)
        self.randomize(None)
        if self._do_transform:
            self.draw()
            for key in self.key_iterator(out):
                out[key] = self.change(plain(out[key])).clamp_(0, 1)
        return out


class RandBrightnessContrastd(RandIntensityd):
    """Multiply by ``1 + U(-limit, limit)`` and add ``U(-limit, limit)``.

    Args:
        keys: see :class:`RandIntensityd`.
        limit: largest relative contrast and largest absolute brightness change; 0 changes nothing.
        prob: see :class:`RandIntensityd`.
    """

    def __init__(self, keys: KeysCollection, *, limit: float = 0.2, prob: float = 1.0) -> None:
        super().__init__(keys, prob=prob)
        self.limit = limit

    def draw(self) -> None:
        """Draw contrast, then brightness."""
        self._contrast = 1 + self.R.uniform(-self.limit, self.limit)
        self._brightness = self.R.uniform(-self.limit, self.limit)

    def change(self, image: Tensor) -> Tensor:
        """Return ``contrast * image + brightness``.

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        return image * self._contrast + self._brightness


class RandGammad(RandIntensityd):
    """Raise to a power drawn from ``limits``; black stays black, white stays white.

    Args:
        keys: see :class:`RandIntensityd`.
        limits: smallest and largest power; below 1 brightens, ``(1, 1)`` changes nothing.
        prob: see :class:`RandIntensityd`.
    """

    def __init__(
        self, keys: KeysCollection, *, limits: tuple[float, float] = (0.8, 1.2), prob: float = 1.0
    ) -> None:
        super().__init__(keys, prob=prob)
        self.limits = limits

    def draw(self) -> None:
        """Draw the power."""
        self._gamma = self.R.uniform(*self.limits)

    def change(self, image: Tensor) -> Tensor:
        """Return ``image ** gamma``.

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        return image**self._gamma


class RandValueShiftd(RandIntensityd):
    """Add one number to all pixels: what a hue-saturation-value shift does to a gray image.

    Args:
        keys: see :class:`RandIntensityd`.
        limit: largest shift, up or down; 0 changes nothing.
        prob: see :class:`RandIntensityd`.
    """

    def __init__(self, keys: KeysCollection, *, limit: float = 20 / 255, prob: float = 1.0) -> None:
        super().__init__(keys, prob=prob)
        self.limit = limit

    def draw(self) -> None:
        """Draw the shift."""
        self._shift = self.R.uniform(-self.limit, self.limit)

    def change(self, image: Tensor) -> Tensor:
        """Return ``image + shift``.

        Args:
            image: ``(1, H, W)``, in [0, 1].
        """
        return image + self._shift


def plain(image: Any) -> Tensor:
    """Return an array or (Meta)Tensor as a plain tensor, sharing its memory.

    Args:
        image: array of any shape.
    """
    return image.as_tensor() if isinstance(image, MetaTensor) else torch.as_tensor(image)
