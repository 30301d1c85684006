# SPDX-License-Identifier: Apache-2.0
"""The views of a film that distl learns from: as it is, changed as a whole, and in small crops."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray
from torch import Tensor

from monai_kd.transforms.intensity import plain
from monai_kd.transforms.views_draw import LOCAL, NOISED, draw_views
from monai_kd.transforms.views_here import render_film
from monai_kd.utils import check_choice

__all__ = ["RandViewsd", "views_to_float"]


class RandViewsd(Randomizable, MapTransform):
    """Replace a film by its views, in 8 bits.

    Each item loses ``image`` and gets ``original`` (the film itself, ``(1, S, S)``), ``noised``
    (a crop of 75 to 100% of the film, ``(1, S, S)``) and ``local`` (crops of 20 to 60%,
    ``(V, 1, s, s)``), all uint8. Crops are mirrored, rotated by up to 15 degrees, stretched in
    contrast, equalized and blurred, in this order, each by chance.

    ``render="later"`` leaves the pixels to :func:`~monai_kd.transforms.render_views` on an
    accelerator: the item gets ``original`` and ``view_draws``, ``(1 + V, 9)``, float32.

    Args:
        keys: item that holds the film, ``(1, S, S)``, float in [0, 1] or uint8.
        spatial_size: side S in pixels of the film and of its global view.
        local_size: side s of a local view in pixels.
        local_views: V; 0 makes no ``local``.
        flip: probability that a view is mirrored, in [0, 1]. The paper's code has 0.5; a mirrored
            film has left and right confused.
        interpolation: ``"bicubic"`` as published, or ``"bilinear"``, a little faster.
        render: ``"here"`` or ``"later"``.

    Attributes:
        with_local: False leaves the local views out, as long as no loss needs them; the numbers of
            the others stay what they are.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self,
        keys: str = "image",
        *,
        spatial_size: int | Sequence[int],
        local_size: int | Sequence[int] = 128,
        local_views: int = 8,
        flip: float = 0.0,
        interpolation: str = "bicubic",
        render: str = "here",
    ) -> None:
        MapTransform.__init__(self, keys)
        check_choice("RandViewsd", "interpolation", interpolation, ("bicubic", "bilinear"))
        check_choice("RandViewsd", "render", render, ("here", "later"))
        if local_views < 0:
            raise ValueError(
                f"RandViewsd: `local_views` must be at least 0, got {local_views}. 8 are published."
            )
        if not 0 <= flip <= 1:
            raise ValueError(
                f"RandViewsd: `flip` must be in [0, 1], got {flip}. It is a probability."
            )
        self.spatial_size = _side("spatial_size", spatial_size)
        self.local_size = _side("local_size", local_size)
        self.flip = flip
        self.interpolation = interpolation
        self.render = render
        self.with_local = True
        self._recipes = (NOISED, *(LOCAL,) * local_views)

    def randomize(self, data: Any = None) -> None:
        """Draw the numbers of all views of one film.

        Args:
            data: not used.
        """
        self._draws = draw_views(self.R, self.spatial_size, self._recipes, flip=self.flip)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the views instead of the film.

        Args:
            data: item that holds the film.

        Raises:
            ValueError: if the film is not of shape ``(1, spatial_size, spatial_size)``.
        """
        out = dict(data)
        for key in self.key_iterator(out):
            film = self._eight_bits(out.pop(key))
            self.randomize()
            out["original"] = torch.from_numpy(film[None])
            draws = self._draws if self.with_local else self._draws[:1]
            if self.render == "later":
                out["view_draws"] = torch.from_numpy(draws)
            else:
                out.update(
                    render_film(
                        film,
                        draws,
                        local_size=self.local_size,
                        interpolation=self.interpolation,
                    )
                )
        return out

    def _eight_bits(self, image: Any) -> NDArray[np.uint8]:
        image = plain(torch.as_tensor(image))
        size = self.spatial_size
        if tuple(image.shape) != (1, size, size):
            raise ValueError(
                f"RandViewsd: `image` must have the shape (1, {size}, {size}), got "
                f"{tuple(image.shape)}. Make it square and of `spatial_size` first, with "
                "SquarePadResized."
            )
        array = np.ascontiguousarray(image[0].numpy())
        if array.dtype == np.uint8:
            return array.copy()
        return np.asarray(cv2.convertScaleAbs(array, alpha=255), dtype=np.uint8)


def views_to_float(
    views: Mapping[str, Tensor], *, subtrahend: float = 0.0, divisor: float = 1.0
) -> dict[str, Tensor]:
    """Return the views as a network takes them: ``(level / 255 - subtrahend) / divisor``.

    Args:
        views: uint8, of any shape, on any device.
        subtrahend: mean gray value of the training films, on the scale from 0 to 1.
        divisor: their standard deviation, above 0.

    Returns:
        The same names and shapes, float32, where they were.

    Raises:
        TypeError: if a view is not uint8.
        ValueError: if ``divisor`` is not above 0.
    """
    if not divisor > 0:
        raise ValueError(
            f"views_to_float: `divisor` must be above 0, got {divisor}. 1 changes nothing."
        )
    out = {}
    for name, view in views.items():
        if view.dtype != torch.uint8:
            raise TypeError(
                f"views_to_float: `{name}` must be uint8, got {view.dtype}. Give it the views of "
                "RandViewsd or render_views, once."
            )
        out[name] = (view / 255).sub_(subtrahend).div_(divisor)
    return out


def _side(name: str, size: int | Sequence[int]) -> int:
    """Return the side of a square given by one number or by two."""
    sides = [size] if isinstance(size, int) else list(size)
    if len(set(sides)) != 1 or sides[0] < 1:
        raise ValueError(
            f"RandViewsd: `{name}` must be one number above 0 or two equal ones, got {size}. "
            "The views are square."
        )
    return sides[0]
