# SPDX-License-Identifier: Apache-2.0
"""Candidates from heat maps: the peaks of each map, and the box around each.

A candidate is a pixel that no other within the radius exceeds. The maximum over a square window is
taken along rows, then along columns, by doubling the window; ``F.max_pool2d`` compares all
``(2 * radius + 1) ** 2`` pixels, a hundred times slower on a CPU at radius 12.
"""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor

__all__ = ["candidate_boxes", "find_candidates", "fixed_boxes"]


def find_candidates(  # without `*`: TorchScript takes no keyword-only defaults
    heat: Tensor, radius: int = 8, threshold: float = 0.05, max_candidates: int = 100
) -> tuple[Tensor, Tensor]:
    """Return the peaks of every map, those of one map in order of their height.

    Equal peaks not farther than the radius from each other (a plateau) are one candidate: the one
    nearest to their middle.

    Args:
        heat: heat maps, ``(B, C, H, W)``, any float type, without NaN.
        radius: pixels within which only the highest peak counts, at least 1, along each axis.
        threshold: peaks must be above it.
        max_candidates: at most so many of each map, the highest.

    Returns:
        ``index``, ``(M, 4)`` int64: image, channel, row and column of each peak, sorted by the
        first two; and its height, ``(M,)``, in the type of ``heat``.

    Raises:
        ValueError: if ``heat`` is not of four dimensions or holds a NaN, or a setting is below 1.

    Example:
        >>> heat = torch.zeros(1, 1, 9, 9)
        >>> heat[0, 0, 2, 3] = 0.9
        >>> find_candidates(heat, radius=2)[0].tolist()
        [[0, 0, 2, 3]]
    """
    if heat.dim() != 4:
        raise ValueError(
            f"find_candidates: `heat` must be (B, C, H, W), got {list(heat.shape)}. "
            "Add the batch or the channel dimension."
        )
    if radius < 1 or max_candidates < 1:
        raise ValueError(
            "find_candidates: `radius` and `max_candidates` must be at least 1, got "
            f"{radius} and {max_candidates}. The radius is in pixels of the map."
        )
    bad = int(torch.isnan(heat).sum()) if bool(torch.isnan(heat.sum())) else 0  # counted if any
    if bad > 0:
        raise ValueError(
            f"find_candidates: `heat` must hold numbers, got {bad} pixels that are NaN. "
            "A NaN means that the training has diverged."
        )
    indices = [torch.zeros(0, 4, dtype=torch.int64, device=heat.device)]
    scores = [torch.zeros(0, dtype=heat.dtype, device=heat.device)]
    for image in range(heat.shape[0]):  # one by one: the maps of one stay in the cache
        index, score = _peaks(heat[image].detach(), radius, threshold)
        index, score = _highest(index, score, max_candidates)
        indices.append(torch.cat([torch.full_like(index[:, :1], image), index], 1))
        scores.append(score)
    return torch.cat(indices), torch.cat(scores)


def candidate_boxes(heat: Tensor, index: Tensor, *, share: float = 0.5) -> Tensor:
    """Return the box around the area that is connected to each peak and almost as high.

    Args:
        heat: heat maps, ``(B, C, H, W)``.
        index: from :func:`find_candidates`, ``(M, 4)``.
        share: of the peak's height that the area has at least, in (0, 1].

    Returns:
        ``x_min, y_min, x_max, y_max`` in pixels of the map, maxima exclusive, ``(M, 4)``.

    Raises:
        ValueError: if ``share`` is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(
            f"candidate_boxes: `share` must be in (0, 1], got {share}. It is a share of the peak."
        )
    maps = heat.detach().float().cpu()
    boxes = [
        _area_box(maps[image, channel], row, column, share)
        for image, channel, row, column in index.tolist()
    ]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def fixed_boxes(index: Tensor, *, size: float) -> Tensor:
    """Return a square around each peak; where it leaves the map it is not cut.

    Args:
        index: from :func:`find_candidates`, ``(M, 4)``.
        size: side in pixels, at least 0; 0 gives the middle of the pixel itself.

    Returns:
        ``x_min, y_min, x_max, y_max`` in pixels of the map, ``(M, 4)``.
    """
    middle = index[:, [3, 2]].float() + 0.5
    return torch.cat([middle - size / 2, middle + size / 2], dim=1)


def _peaks(heat: Tensor, radius: int, threshold: float) -> tuple[Tensor, Tensor]:
    """Channel, row and column of the peaks of one image, ``(K, 3)``, and their heights."""
    highest = _window_max(_window_max(heat, radius, 1), radius, 2)
    peak = (heat == highest) & (heat > threshold)
    index, score = torch.nonzero(peak), heat[peak]
    order = _by_channel_and_score(index, score)
    channel, height = index[order, 0], score[order]
    if bool(((channel[1:] == channel[:-1]) & (height[1:] == height[:-1])).any()):
        chosen = _middle_of_plateaus(_plateaus(peak, radius)[peak], index)  # perhaps a plateau
        index, score = index[chosen], score[chosen]
    return index, score


def _by_channel_and_score(index: Tensor, score: Tensor) -> Tensor:
    """Order of the peaks, those of a channel together, the highest first, ties as they stand."""
    by_score = torch.argsort(score, descending=True, stable=True)
    return by_score[torch.argsort(index[by_score, 0], stable=True)]


def _highest(index: Tensor, score: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest peaks of each channel, in order of channel and height."""
    order = _by_channel_and_score(index, score)
    index, score = index[order], score[order]
    first = torch.searchsorted(index[:, 0].contiguous(), index[:, 0].contiguous())
    kept = torch.arange(len(score), device=score.device) - first < count
    return index[kept], score[kept]


def _window_max(heat: Tensor, radius: int, dim: int) -> Tensor:
    """Maximum over ``2 * radius + 1`` neighbors along one dimension, the own value included."""
    length = heat.shape[dim]
    edge = list(heat.shape)
    edge[dim] = radius
    least = -float("inf") if heat.is_floating_point() else 0.0
    lowest = torch.full(edge, least, dtype=heat.dtype, device=heat.device)
    highest = torch.cat([lowest, heat, lowest], dim)
    window, wanted = 1, 2 * radius + 1
    while window < wanted:
        step = min(window, wanted - window)
        left = highest.narrow(dim, 0, highest.shape[dim] - step)
        highest = torch.maximum(left, highest.narrow(dim, step, highest.shape[dim] - step))
        window += step
    return highest.narrow(dim, 0, length)


def _plateaus(peak: Tensor, radius: int) -> Tensor:
    """A number for each peak, the same for equal peaks that are connected within the radius.

    Each peak points to the largest number that it or what points at it sees, and follows the
    pointers of what it points to, which doubles its reach; a long plateau takes a few rounds more
    than a short one (Zhang, Azad and Hu, "FastSV", SIAM Parallel Processing 2020).
    """
    number = torch.arange(1, peak.numel() + 1, device=peak.device, dtype=torch.int32)
    number = number * peak.flatten()
    label = torch.cat([torch.zeros_like(number[:1]), number])  # the first is no pixel
    before = torch.zeros_like(label)
    while not torch.equal(label, before):  # peaks within the radius are equal
        before = label
        seen = _window_max(_window_max(label[1:].view(peak.shape), radius, 1), radius, 2)
        seen = torch.cat([torch.zeros_like(number[:1]), (seen * peak).flatten()])
        label = torch.maximum(label, seen)
        label = label.scatter_reduce(0, before.long(), seen, "amax")
        for _ in range(4):
            label = torch.maximum(label, label[label.long()])
    return label[1:].view(peak.shape)


def _middle_of_plateaus(label: Tensor, index: Tensor) -> Tensor:
    """Which peak stands for each plateau: the one nearest to its middle, the first if several."""
    group = label.long()
    place = index[:, 1:].double()
    count = torch.bincount(group)
    middle = torch.zeros(len(count), 2, dtype=torch.float64, device=index.device)
    middle = middle.index_add(0, group, place) / count.clamp_min(1)[:, None]
    distance = (place - middle[group]).square().sum(1)
    least = torch.full_like(middle[:, 0], float("inf"))
    least = least.scatter_reduce(0, group, distance, "amin")
    near = torch.nonzero(distance == least[group])[:, 0]
    first = torch.full_like(count, len(label)).scatter_reduce(0, group[near], near, "amin")
    return torch.sort(first[count > 0])[0]


def _area_box(heat: Tensor, row: int, column: int, share: float) -> list[int]:
    """The box, from a window that grows until the area does not reach its edge."""
    height, width = heat.shape
    reach = 16
    while True:
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom, right = min(row + reach + 1, height), min(column + reach + 1, width)
        part = (heat[top:bottom, left:right] >= share * heat[row, column]).numpy()
        label, _ = ndimage.label(part)
        rows, columns = (label == label[row - top, column - left]).nonzero()
        y_min, y_max = top + int(rows.min()), top + int(rows.max()) + 1
        x_min, x_max = left + int(columns.min()), left + int(columns.max()) + 1
        cut = (y_min == top > 0) or (x_min == left > 0)
        cut = cut or (y_max == bottom < height) or (x_max == right < width)
        if not cut:
            return [x_min, y_min, x_max, y_max]
        reach *= 4
