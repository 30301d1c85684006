# SPDX-License-Identifier: Apache-2.0
"""Candidates from heat maps in tensors of fixed shape, for models that are exported.

The same peaks and boxes as :func:`~monai_kd.metrics.find_candidates` and
:func:`~monai_kd.metrics.candidate_boxes`, with as many slots for every map and nothing but tensor
operations, so that TorchScript and ONNX carry them. The area round a peak is found by following its
rows up and down, all peaks at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.jit import is_tracing  # type: ignore[attr-defined]

from monai_kd.metrics.candidates import _window_max

__all__ = ["top_candidates"]


def top_candidates(  # without `*`: TorchScript takes no keyword-only defaults
    prob: Tensor, radius: int = 4, max_candidates: int = 20, share: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the highest peaks of every map and the box round each, best first.

    A peak is a cell above 0 that no other within the radius exceeds. Of equal peaks within the
    radius of each other (a plateau) the one nearest to their middle counts, the first row by row if
    several are; exactly so as far as the plateau is not longer than ``6 * radius + 1`` cells, while
    of a longer or bent one the peak may lie off the middle, or two may count. Equal peaks that are
    farther from each other come row by row. The box holds the area that is connected to the peak
    and at least ``share`` of its height, as far as 16 cells from it. An area that turns more than
    twice, as a spiral does, is not followed to its end.

    Args:
        prob: probabilities, ``(B, C, H, W)``, in [0, 1], any float type.
        radius: cells within which only the highest peak counts, at least 1, along each axis.
        max_candidates: K, slots of each map, at least 1.
        share: of the peak's height that the area has at least, in (0, 1].

    Returns:
        All float32, in cells of the map. ``score``, ``(B, C, K)``: height of the peak, 0 in slots
        that are empty. ``box``, ``(B, C, K, 4)``: ``x_min, y_min, x_max, y_max``, maxima exclusive.
        ``peak``, ``(B, C, K, 2)``: column and row of the middle of its cell. In empty slots 0.

    Raises:
        ValueError: if ``prob`` is not of four dimensions or holds a NaN, or a setting is out of
            range. An ONNX model says nothing; a NaN hides the peaks round it there.

    Example:
        >>> prob = torch.zeros(1, 1, 9, 9)
        >>> prob[0, 0, 2, 3:5] = torch.tensor([0.75, 0.5])
        >>> score, box, peak = top_candidates(prob, max_candidates=2)
        >>> score.tolist(), box[0, 0, 0].tolist(), peak[0, 0, 0].tolist()
        ([[[0.75, 0.0]]], [3.0, 2.0, 5.0, 3.0], [3.5, 2.5])
    """
    _check(prob, radius, max_candidates, share)
    maps = prob.detach().float().contiguous()  # channels last cannot be viewed as a line
    if _is_traced() or maps.is_cuda:
        score, place = _highest_peaks(maps, radius, max_candidates)
    else:  # one by one: the maps of one image stay in the cache
        scores: list[Tensor] = []
        places: list[Tensor] = []
        for image in maps.split(1):  # type: ignore[no-untyped-call]
            height, where = _highest_peaks(image, radius, max_candidates)
            scores.append(height)
            places.append(where)
        score, place = torch.cat(scores), torch.cat(places)
    row = torch.div(place, maps.shape[3], rounding_mode="floor")
    column = place - row * maps.shape[3]
    corner = torch.stack([column, row], 3)
    used = (score > 0).unsqueeze(3)
    box = _area(maps, row, column, share * score) + torch.cat([corner, corner], 3)
    return score, box.float() * used, (corner.float() + 0.5) * used


def _is_traced() -> bool:
    """Whether the calls are recorded, as for ONNX: then no path may depend on the data."""
    traced: bool = is_tracing()  # type: ignore[no-untyped-call]
    return traced


def _check(prob: Tensor, radius: int, max_candidates: int, share: float) -> None:
    if prob.dim() != 4:
        raise ValueError(
            f"top_candidates: `prob` must be (B, C, H, W), got {prob.dim()} dimensions. "
            "Add the batch or the channel dimension."
        )
    if radius < 1 or max_candidates < 1:
        raise ValueError(
            "top_candidates: `radius` and `max_candidates` must be at least 1, got "
            f"{radius} and {max_candidates}. The radius is in cells of the map."
        )
    if not 0 < share <= 1:
        raise ValueError(
            f"top_candidates: `share` must be in (0, 1], got {share}. It is a share of the peak."
        )
    if not _is_traced() and bool(torch.isnan(prob.sum())):
        raise ValueError(
            "top_candidates: `prob` must hold numbers, got NaN. "
            "A NaN means that the training has diverged."
        )


def _highest_peaks(maps: Tensor, radius: int, count: int) -> tuple[Tensor, Tensor]:
    """Height and place, counted row by row, of the highest peaks, ``(B, C, count)`` each."""
    highest = _window_max(_window_max(maps, radius, 2), radius, 3)
    peak = maps == highest
    if not _is_traced() and maps.shape[2] > count:
        score, place = _highest_cells(maps * peak, count + 1)
        equal = (score[..., 1:] == score[..., :-1]) & (score[..., 1:] > 0)
        if not bool(equal.any()):
            return score[..., :count], place[..., :count] * (score[..., :count] > 0)
    return _middle_of_equals(maps, peak, radius, count)


def _highest_cells(height: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Height and place of the highest cells: they lie in as many rows, those of the highest."""
    width = height.shape[3]
    _, row = height.amax(3).topk(count)
    lines = height.gather(2, row.unsqueeze(3).expand(-1, -1, -1, width))
    score, place = lines.flatten(2).topk(count)
    line = torch.div(place, width, rounding_mode="floor")
    return score, row.gather(2, line) * width + place - line * width


def _middle_of_equals(maps: Tensor, peak: Tensor, radius: int, count: int) -> tuple[Tensor, Tensor]:
    """The same where peaks are equal: those in the middle of others stand for them."""
    height, width = maps.shape[2], maps.shape[3]
    peak = peak & (maps > 0)
    for _ in range(3):  # each time a long plateau loses as many cells as the window at its ends
        number = _window_sum(peak.int(), radius)
        if not _is_traced() and not bool((peak & (number > 1)).any()):
            break  # no plateau
        peak = _nearest_to_middle(peak, number, radius)
    rank = torch.arange(height * width, 0, -1, dtype=torch.int32, device=maps.device)
    rank = rank.view(height, width)
    ranked = rank * peak
    first = (ranked == _window_max(_window_max(ranked, radius, 2), radius, 3)) & (ranked > 0)
    small = rank.double() * 2.0**-50  # less than float32 resolves, enough for float64
    key = (maps.double() * (1.0 + small) * first).flatten(2)  # no two are equal
    best, place = F.pad(key, (0, count)).topk(count)
    used = best > 0
    place = place * used
    return torch.gather(maps.flatten(2), 2, place) * used, place


def _nearest_to_middle(peak: Tensor, number: Tensor, radius: int) -> Tensor:
    """The peaks of which no other within the radius is nearer to the middle of those round it.

    ``number`` of them stand in the window round each cell. Peaks within the radius of each other
    are equal, so that a window holds those of one plateau.
    """
    height, width = peak.shape[2], peak.shape[3]
    cells = peak.int()
    row = torch.arange(height, dtype=torch.int32, device=peak.device).unsqueeze(1)
    column = torch.arange(width, dtype=torch.int32, device=peak.device)
    down = (row * number - _window_sum(row * cells, radius)).float() / number
    along = (column * number - _window_sum(column * cells, radius)).float() / number
    near = torch.where(peak, -(down * down + along * along), -float("inf"))
    return peak & (near == _window_max(_window_max(near, radius, 2), radius, 3))


def _window_sum(cells: Tensor, radius: int) -> Tensor:
    """Sum over a square of ``2 * radius + 1`` cells, exact, of int32."""
    side = 2 * radius + 1
    total = F.pad(cells, (radius + 1, radius, radius + 1, radius))
    total = torch.cumsum(total, 2, dtype=torch.int32)
    total = total.narrow(2, side, cells.shape[2]) - total.narrow(2, 0, cells.shape[2])
    total = torch.cumsum(total, 3, dtype=torch.int32)
    return total.narrow(3, side, cells.shape[3]) - total.narrow(3, 0, cells.shape[3])


def _area(maps: Tensor, row: Tensor, column: Tensor, least: Tensor, reach: int = 16) -> Tensor:
    """Box of the area round each peak, relative to the peak, ``(B, C, K, 4)``."""
    side = 2 * reach + 1
    padded = F.pad(maps, (reach, reach, reach, reach))
    height, width = maps.shape[2] + 2 * reach, maps.shape[3] + 2 * reach
    first = torch.arange(maps.shape[0] * maps.shape[1], device=maps.device) * (height * width)
    corner = first.view(maps.shape[0], maps.shape[1], 1) + row * width + column
    step = torch.arange(side, device=maps.device)
    near = (step.unsqueeze(1) * width + step).view(-1, 1)
    window = padded.view(-1).index_select(0, (near + corner.view(-1)).view(-1))
    part = window.view(side, side, -1) >= least.view(-1)  # the peaks last: they stand together
    reached = _connected_to_middle(part)
    step = step.unsqueeze(1)
    box: list[Tensor] = []
    for line in (reached.any(0), reached.any(1)):  # columns, rows
        box.append(torch.where(line, step, side).amin(0))
        box.append(torch.where(line, step + 1, 0).amax(0))
    edges = torch.stack([box[0], box[2], box[1], box[3]], 1) - reach
    return edges.view(row.shape[0], row.shape[1], row.shape[2], 4)


def _connected_to_middle(part: Tensor) -> Tensor:
    """The cells of each window that are connected to its middle, ``(S, S, N)``.

    From row to row: of the next one, the runs from the first to the last that touch what has been
    reached in this one. Down from the middle, up from the bottom, and down again.
    """
    middle = part.shape[0] // 2
    run = torch.cumsum((~part).int(), 1, dtype=torch.int32)  # the same number for cells of a run
    rows = list(part.unbind(0))
    runs = list(run.unbind(0))
    none = torch.zeros_like(rows[0])
    seed = torch.arange(part.shape[1], device=part.device).unsqueeze(1) == middle
    reached = [none for _ in rows]
    reached[middle] = _fill(seed | none, rows[middle], runs[middle])
    down = list(range(1, len(rows)))
    up = list(range(len(rows) - 2, -1, -1))
    for index in down[middle:]:
        reached[index] = _fill(reached[index - 1], rows[index], runs[index])
    for index in up:
        reached[index] = _fill(reached[index] | reached[index + 1], rows[index], runs[index])
    for index in down:
        reached[index] = _fill(reached[index] | reached[index - 1], rows[index], runs[index])
    return torch.stack(reached)


def _fill(touched: Tensor, part: Tensor, run: Tensor) -> Tensor:
    """Cells of one row in the runs from the first to the last that is touched, ``(S, N)``."""
    touched = touched & part
    first = torch.where(touched, run, run.shape[0] + 1).amin(0)
    last = torch.where(touched, run, -1).amax(0)
    return part & (run >= first) & (run <= last)
