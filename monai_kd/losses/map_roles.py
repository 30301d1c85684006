# SPDX-License-Identifier: Apache-2.0
"""What is known of each map of each film, and the regions in the cells of a map."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.utils import check_same_shape

__all__ = ["MapRoles", "map_roles", "region_targets"]


class MapRoles(NamedTuple):
    """Where the target of each map comes from; at most one of the three holds, bool, ``(B, C)``.

    Args:
        drawn: an expert drew the finding.
        absent: the finding is not there, says the label, or an expert who found nothing.
        pseudo: the finding is there and nobody drew it: the teacher has to say where.
    """

    drawn: Tensor
    absent: Tensor
    pseudo: Tensor


def map_roles(label: Tensor, region_drawn: Tensor, region_annotated: Tensor) -> MapRoles:
    """Return what is known of each finding of each film.

    An expert who draws one finding of a film may pass over another: a finding that the label calls
    present and that has no region is one that nobody drew. Where the label is unknown, only an
    expert who found nothing at all on the film makes a finding absent.

    Args:
        label: 0, 1 or NaN (unknown), ``(B, C)``.
        region_drawn: whether an expert drew the finding, bool, ``(B, C)``; of the film as it is
            stored: a region that augmentation moves out of the picture was drawn all the same.
        region_annotated: whether an expert looked for regions, bool, ``(B, C)``.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> label = torch.tensor([[1.0, 1.0, 0.0, float("nan")]])
        >>> drawn = torch.tensor([[True, False, False, False]])
        >>> roles = map_roles(label, drawn, torch.tensor([[True, True, True, True]]))
        >>> [role.tolist()[0] for role in roles]  # doctest: +NORMALIZE_WHITESPACE
        [[True, False, False, False], [False, False, True, False], [False, True, False, False]]
    """
    check_same_shape(
        "map_roles",
        label=label,
        region_drawn=region_drawn,
        region_annotated=region_annotated,
        hint="Each has one column per finding.",
    )
    looked = region_annotated.bool()
    drawn = region_drawn.bool() & looked & (label != 0)  # NaN is not 0: what was drawn is there
    nothing = looked & ~region_drawn.bool().any(1, keepdim=True)
    absent = (label == 0) | (nothing & label.isnan())
    return MapRoles(drawn, absent, (label == 1) & ~drawn)


def region_targets(region_mask: Tensor, size: torch.Size) -> Tensor:
    """Return regions in the cells of a map: 1 where the middle of a cell is inside.

    A region that holds no middle of a cell would vanish; the cells that it touches are 1 then: all
    touched cells that have no cell with its middle inside beside them.

    Args:
        region_mask: 0 or 1, ``(B, C, H, W)``.
        size: rows and columns of the map.

    Returns:
        0 or 1, float32, ``(B, C, *size)``.
    """
    mask = region_mask.float()
    if mask.shape[2:] == size:
        return mask
    middle = F.interpolate(mask, tuple(size), mode="nearest-exact")
    touched = F.adaptive_max_pool2d(mask, tuple(size))
    beside = F.max_pool2d(middle, 3, stride=1, padding=1)
    return torch.where(beside > 0, middle, touched)
