# SPDX-License-Identifier: Apache-2.0
"""Views made by a worker of the data loader, one film at a time, with OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_kd.transforms.views_draw import turn_matrix
from monai_kd.transforms.views_gray import equalizing_curve, stretching_curve

__all__ = ["render_film"]

_RESIZE = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
_TURN = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


def render_film(
    film: NDArray[np.uint8],
    draws: NDArray[np.float32],
    *,
    local_size: int,
    interpolation: str = "bicubic",
) -> dict[str, Tensor]:
    """Return the changed views of one film.

    Each is a crop resized, one turn (mirror and rotation) to the nearest pixel, at most one gray
    curve and at most one blur, as published. To resize and turn in one interpolation takes longer
    and is farther from the published pixels. What a rotation brings in from outside the crop is
    black, though the film goes on there.

    Args:
        film: ``(S, S)``.
        draws: numbers of the V + 1 views, see :func:`~monai_kd.transforms.views_draw.draw_views`.
        local_size: side s of a local view in pixels.
        interpolation: ``"bicubic"`` or ``"bilinear"``.

    Returns:
        ``noised``, ``(1, S, S)``, and, unless V is 0, ``local``, ``(V, 1, s, s)``, both uint8.
    """
    cv2.setNumThreads(0)  # the workers of the loader are the threads
    views = {"noised": torch.empty((1, *film.shape), dtype=torch.uint8)}
    _render(film, draws[0], views["noised"][0].numpy(), _RESIZE[interpolation])
    if len(draws) > 1:
        views["local"] = torch.empty((len(draws) - 1, 1, local_size, local_size), dtype=torch.uint8)
        for draw, view in zip(draws[1:], views["local"].numpy(), strict=True):
            _render(film, draw, view[0], _RESIZE[interpolation])
    return views


def _render(
    film: NDArray[np.uint8], draw: NDArray[np.float32], out: NDArray[np.uint8], resize: int
) -> None:
    """Write one view into ``out``, ``(s, s)``."""
    left, top, width, height, flip, radians, autocontrast, equalize, radius = draw.tolist()
    crop = film[int(top) : int(top + height), int(left) : int(left + width)]
    resized = cv2.resize(crop, out.shape, interpolation=resize)
    # beyond the border OpenCV takes a constant 0 unless told otherwise
    turn = turn_matrix(flip, radians, len(out))
    cv2.warpAffine(resized, turn, out.shape, dst=out, flags=_TURN)
    if equalize:
        counts = cv2.calcHist([out], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        cv2.LUT(out, equalizing_curve(counts, autocontrast=autocontrast > 0), dst=out)
    elif autocontrast:
        low, high, *_ = cv2.minMaxLoc(out)
        cv2.LUT(out, stretching_curve(int(low), int(high)), dst=out)
    if radius:
        cv2.GaussianBlur(out, (0, 0), radius, dst=out, borderType=cv2.BORDER_REPLICATE)
