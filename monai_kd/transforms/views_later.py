# SPDX-License-Identifier: Apache-2.0
"""Views made on the accelerator, a batch of films at a time, from the numbers that were drawn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.transforms.views_draw import VIEW_PARAMETERS
from monai_kd.transforms.views_gray import gray_curves
from monai_kd.utils import check_choice

__all__ = ["render_views"]

_REACH = 6  # pixels that the widest blur reaches, three of its standard deviations


@torch.no_grad()
def render_views(
    original: Tensor, draws: Tensor, *, local_size: int, interpolation: str = "bicubic"
) -> dict[str, Tensor]:
    """Return the views of a batch of films, as ``RandViewsd(render="here")`` would have made them.

    Gray levels differ by less than one on average: positions are not rounded here. Nothing waits
    for the device.

    Args:
        original: films, uint8, ``(B, 1, S, S)``, on any device.
        draws: ``view_draws`` of :class:`~monai_kd.transforms.RandViewsd`, ``(B, 1 + V, 9)``, on the
            same device.
        local_size: side s of a local view in pixels.
        interpolation: ``"bicubic"`` or ``"bilinear"``.

    Returns:
        ``original`` as given, ``noised``, ``(B, 1, S, S)``, and, unless V is 0, ``local``,
        ``(B, V, 1, s, s)``; uint8, on the device of the films.

    Raises:
        ValueError: if a shape is wrong, or there is no such interpolation.
        TypeError: if the films are not uint8.
    """
    check_choice("render_views", "interpolation", interpolation, ("bicubic", "bilinear"))
    _check(original, draws)
    films = original.float()
    # reduced precision would move pixels and merge gray levels
    with torch.autocast(original.device.type, enabled=False):
        noised = _render(films, draws[:, :1].float(), films.shape[-1], interpolation)
        views = {"original": original, "noised": noised[:, 0]}
        if draws.shape[1] > 1:
            views["local"] = _render(films, draws[:, 1:].float(), local_size, interpolation)
    return views


def _check(original: Tensor, draws: Tensor) -> None:
    if original.dtype != torch.uint8:
        raise TypeError(
            f"render_views: `original` must be uint8, got {original.dtype}. Render before "
            "views_to_float."
        )
    if original.ndim != 4 or original.shape[1] != 1 or original.shape[2] != original.shape[3]:
        raise ValueError(
            f"render_views: `original` must have the shape (B, 1, S, S), got "
            f"{tuple(original.shape)}. Make the films square and gray first."
        )
    if draws.shape != (len(original), *draws.shape[1:2], len(VIEW_PARAMETERS)):
        raise ValueError(
            f"render_views: `draws` must have the shape ({len(original)}, 1 + V, "
            f"{len(VIEW_PARAMETERS)}), got {tuple(draws.shape)}. Give it `view_draws` of the same "
            "batch."
        )


def _render(films: Tensor, draws: Tensor, size: int, interpolation: str) -> Tensor:
    """Return views of one size, ``(B, V, 1, size, size)``, uint8."""
    shape = (*draws.shape[:2], 1, size, size)
    look, inside = _look(draws, films.shape[-1], size)
    # a film's views lie below each other, so that no film is copied
    warped = F.grid_sample(films, look.flatten(1, 2), mode=interpolation, align_corners=False)
    levels = warped.view(shape).round_().clamp_(0, 255).mul_(inside[:, :, None])
    levels, draws = levels.long().view(-1, size * size), draws.flatten(0, 1)  # N = B * V rows
    curves = gray_curves(_counts(levels), autocontrast=draws[:, 6] > 0, equalize=draws[:, 7] > 0)
    levels = curves.gather(1, levels)
    blurred = _blur(levels.float().view(-1, size, size), draws[:, 8])
    return blurred.round_().to(torch.uint8).view(shape)


def _look(draws: Tensor, film_size: int, size: int) -> tuple[Tensor, Tensor]:
    """Return where each pixel looks, ``(B, V, s, s, 2)``, and whether inside its crop.

    Places are as ``grid_sample`` has them, -1 to 1 from edge to edge of the film.
    """
    left, top, width, height, flip, radians = (
        part[..., None, None] for part in draws[..., :6].unbind(-1)
    )
    middle = (size - 1) / 2
    x = torch.arange(size, device=draws.device) - middle
    y = x[:, None]
    # of the view before the turn, in whole pixels: the turn takes the nearest
    column = ((x * radians.cos() - y * radians.sin()) * (1 - 2 * flip) + middle).round_()
    row = (x * radians.sin() + y * radians.cos() + middle).round_()
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    # of the film; a crop that is resized knows nothing beyond its outermost pixels
    column = (column + 0.5) * (width / size) - 0.5
    row = (row + 0.5) * (height / size) - 0.5
    column = left + torch.minimum(column.clamp_(min=0), width - 1)
    row = top + torch.minimum(row.clamp_(min=0), height - 1)
    return (torch.stack([column, row], dim=-1) * 2 + 1) / film_size - 1, inside


def _counts(levels: Tensor) -> Tensor:
    """Return how often each level occurs in each view, ``(N, 256)``."""
    views = len(levels)
    place = levels + 256 * torch.arange(views, device=levels.device)[:, None]
    counts = torch.zeros(views * 256, dtype=torch.long, device=levels.device)
    return counts.scatter_add_(0, place.flatten(), torch.ones_like(place).flatten()).view(-1, 256)


def _blur(views: Tensor, radius: Tensor) -> Tensor:
    """Blur each view by its own radius, down and across; the border goes on outside."""
    offset = torch.arange(-_REACH, _REACH + 1, device=views.device)
    spread = radius.clamp(min=1e-3)[:, None]  # so small that only the pixel itself counts
    weights = torch.exp(-0.5 * (offset / spread) ** 2)
    weights = (weights / weights.sum(1, keepdim=True))[:, None]  # (N, 1, 13)
    padded = F.pad(views[None], (_REACH,) * 4, mode="replicate")
    down = F.conv2d(padded, weights[..., None], groups=len(views))
    return F.conv2d(down, weights[:, :, None], groups=len(views))[0]
