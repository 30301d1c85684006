# SPDX-License-Identifier: Apache-2.0
"""How well a heat map agrees with the region that an expert drew, image by image.

The pointing game is Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016,
https://arxiv.org/abs/1608.00507. The overlap at the best threshold follows Saporta et al.,
"Benchmarking saliency methods for chest X-ray interpretation", Nat Mach Intell 4:867, 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_kd.utils import check_same_shape

__all__ = [
    "OVERLAP_THRESHOLDS",
    "best_threshold_iou",
    "mass_inside",
    "overlap_at_thresholds",
    "pointing_game",
]

OVERLAP_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Shares of a map's peak at which its overlap with the region is measured."""

_HINT = "Select one finding: `region_mask[:, c, None]`."


def mass_inside(cam: Tensor, mask: Tensor) -> Tensor:
    """Return the share of a map's mass that lies inside the region.

    Args:
        cam: maps, ``(B, 1, H, W)``, not negative.
        mask: regions, 0 or 1, same shape.

    Returns:
        Shares, ``(B,)``, in [0, 1]; NaN where the map or the region is empty.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape("mass_inside", _HINT, cam=cam, mask=mask)
    region = mask.to(cam) > 0
    mass = cam.flatten(1).double().sum(1)
    share = (cam.double() * region).flatten(1).sum(1) / mass
    return torch.where(_defined(cam, mask), share, torch.nan).to(cam.dtype)


def pointing_game(cam: Tensor, mask: Tensor) -> Tensor:
    """Return whether the map's peak lies inside the region.

    Args:
        cam: maps, ``(B, 1, H, W)``, not negative.
        mask: regions, 0 or 1, same shape.

    Returns:
        Hits, bool, ``(B,)``. An empty map points nowhere, an empty region cannot be hit: False;
        leave these images out where :func:`mass_inside` is NaN.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape("pointing_game", _HINT, cam=cam, mask=mask)
    peak, index = cam.flatten(1).max(1)
    hit = mask.flatten(1).gather(1, index[:, None])[:, 0] > 0
    return hit & (peak > 0)


def overlap_at_thresholds(
    cam: Tensor, mask: Tensor, *, thresholds: Sequence[float] = OVERLAP_THRESHOLDS
) -> Tensor:
    """Return intersection over union of the region and the map cut at each threshold.

    Args:
        cam: maps, ``(B, 1, H, W)``, in [0, 1].
        mask: regions, 0 or 1, same shape.
        thresholds: T rising values above 0; a pixel at the threshold belongs to the map.

    Returns:
        Overlaps, ``(B, T)``, in [0, 1]; NaN where the map or the region is empty.

    Raises:
        ValueError: if the shapes differ, or the thresholds do not rise from above 0.

    Example:
        >>> cam = torch.tensor([[[[1.0, 0.6], [0.2, 0.0]]]])
        >>> overlap_at_thresholds(cam, (cam > 0.5).float(), thresholds=(0.1, 0.5, 0.9))
        tensor([[0.6667, 1.0000, 0.5000]])
    """
    check_same_shape("overlap_at_thresholds", _HINT, cam=cam, mask=mask)
    cuts = torch.tensor(thresholds, dtype=cam.dtype, device=cam.device)
    if not len(cuts) or bool((torch.diff(cuts, prepend=cuts.new_zeros(1)) <= 0).any()):
        raise ValueError(
            "overlap_at_thresholds: `thresholds` must rise from above 0, got "
            f"{list(thresholds)}. Give shares of the map's peak, e.g. (0.2, 0.4, 0.6)."
        )
    region = (mask.to(cam) > 0).flatten(1).double()
    # Each pixel lies above so many thresholds; counted once, then summed from the top.
    level = torch.bucketize(cam.flatten(1), cuts, right=True)
    counts = torch.zeros(2, len(cam), len(cuts) + 1, dtype=torch.double, device=cam.device)
    counts[0].scatter_add_(1, level, torch.ones_like(region))
    counts[1].scatter_add_(1, level, region)
    above, inside = counts.flip(2).cumsum(2).flip(2)[..., 1:]
    overlap = inside / (above + region.sum(1, keepdim=True) - inside).clamp_min(1)
    return torch.where(_defined(cam, mask)[:, None], overlap, torch.nan).to(cam.dtype)


def best_threshold_iou(
    cam: Tensor, mask: Tensor, *, thresholds: Sequence[float] = OVERLAP_THRESHOLDS
) -> tuple[float, float]:
    """Return the largest mean overlap over all images, and the one threshold that gives it.

    Chosen on the images it is reported for, the number flatters a little; compare it with that of
    a map that is chosen in the same way.

    Args:
        cam: see :func:`overlap_at_thresholds`.
        mask: see :func:`overlap_at_thresholds`.
        thresholds: see :func:`overlap_at_thresholds`.

    Returns:
        Mean overlap and threshold; both NaN where every map or region is empty.

    Raises:
        ValueError: see :func:`overlap_at_thresholds`.
    """
    mean = overlap_at_thresholds(cam, mask, thresholds=thresholds).nanmean(0)
    if not len(cam) or bool(mean.isnan().all()):
        return float("nan"), float("nan")
    best = int(mean.argmax())
    return float(mean[best]), float(thresholds[best])


def _defined(cam: Tensor, mask: Tensor) -> Tensor:
    return (cam.flatten(1).amax(1) > 0) & (mask.flatten(1) > 0).any(1)
