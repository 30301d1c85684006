# SPDX-License-Identifier: Apache-2.0
"""What every explanation needs: a network asked in peace, columns of findings, maps in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["columns_of", "in_eval_mode", "to_image"]


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into ``eval`` mode, and each of its modules back into its own mode at the end.

    Args:
        network: changed only meanwhile, also when an error ends it.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def columns_of(finding: int | Tensor, logits: Tensor, *, who: str) -> Tensor:
    """Return which columns of the logits are asked for, ``(B, K)``.

    Args:
        finding: one column for all images, one for each, ``(B,)``, or several for each, ``(B, K)``.
        logits: ``(B, C)``.
        who: what the user called.

    Raises:
        ValueError: if ``finding`` is not a column of the logits, or not one per image.
    """
    images, findings = logits.shape
    column = torch.as_tensor(finding, device=logits.device, dtype=torch.long)
    if column.ndim == 0:
        column = column.expand(images)
    if column.ndim > 2 or len(column) != images:
        raise ValueError(
            f"{who}: `finding` must be one number or one per image, ({images},), got "
            f"{tuple(column.shape)}. Take the column of one finding per image."
        )
    if ((column < 0) | (column >= findings)).any():
        raise ValueError(
            f"{who}: `finding` must be in [0, {findings - 1}], got "
            f"{int(column.min())} to {int(column.max())}. It is a column of the logits."
        )
    return column.reshape(images, -1)


def to_image(maps: Tensor, image: Tensor) -> Tensor:
    """Return maps at the size of the image (bilinear), each scaled so that its peak is 1.

    Args:
        maps: coarse maps, ``(B, K, h, w)``, not negative.
        image: gives the size, ``(B, channels, H, W)``.

    Returns:
        ``(B, K, H, W)``, float32 in [0, 1]; a map of zeros stays one.

    Raises:
        ValueError: if a map holds NaN or infinity, which would look like a map of nothing.
    """
    bad = int((~torch.isfinite(maps)).flatten(1).any(1).sum())
    if bad:
        raise ValueError(
            f"explain: the maps of the network must be finite, got {bad} of {len(maps)} images "
            "with NaN or infinity. The training has diverged; take an earlier checkpoint."
        )
    large = F.interpolate(maps.float(), image.shape[2:], mode="bilinear", align_corners=False)
    peak = large.amax(dim=(2, 3), keepdim=True)
    return torch.where(peak > 0, large / peak.clamp_min(torch.finfo(peak.dtype).tiny), 0.0)
