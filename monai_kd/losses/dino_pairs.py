# SPDX-License-Identifier: Apache-2.0
"""Cross-entropies between all pairs of views at once, and their gradients in closed form.

With the student's tempered logits :math:`s_v` of V views of a film and the teacher's probabilities
:math:`q_0, q_1`, the sum of the cross-entropies of all pairs of a teacher view and another student
view is

.. math:: \\sum_v n_v (\\mathrm{logsumexp}(s_v) - \\langle s_v, \\bar q_v \\rangle)

where :math:`n_v` teacher views, of mean :math:`\\bar q_v`, are compared with view v: one with
each of the two global views, both with a local view. So each row needs one softmax, and its gradient
is :math:`n_v (\\mathrm{softmax}(s_v) - \\bar q_v)`. Summing the pairs one by one would need
:math:`2 V - 2` passes over the logits, and as many copies.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Room", "Rows", "choose", "sum_of_pairs", "view_weights"]

# Bytes of the student's logits that are worked on at a time.
CHUNK_BYTES = {"cpu": 3 * 2**20}  # stays in a core's cache
CHUNK_BYTES_OF_ACCELERATORS = 32 * 2**20  # enough to keep it busy


class Rows(NamedTuple):
    """Numbers of a few films, n.

    Attributes:
        student: the student's logits over its temperature, ``(V, n, K)``.
        difference: ``softmax(student)`` less the mean of what it is compared with, same shape.
        teacher: the teacher's centered logits over its temperature, ``(2, n, K)``.
        prob: their softmax, same shape.
        both: the mean of both, ``(n, K)``.
    """

    student: Tensor
    difference: Tensor
    teacher: Tensor
    prob: Tensor
    both: Tensor


class Room:
    """Memory for the rows of a few films, used again and again.

    Args:
        views: V.
        films: in the batch.
        numbers: K.
        like: gives dtype and device.
        chunk_bytes: bytes of the student's logits at a time; 0: what suits the device.
    """

    def __init__(
        self, views: int, films: int, numbers: int, like: Tensor, *, chunk_bytes: int = 0
    ) -> None:
        suits = CHUNK_BYTES.get(like.device.type, CHUNK_BYTES_OF_ACCELERATORS)
        of_one = views * numbers * like.element_size()
        self.films = max(1, min(films, (chunk_bytes or suits) // of_one))
        self._sizes = (views, views, 2, 2, 1)
        self._numbers = numbers
        self._memory = like.new_empty(sum(self._sizes) * self.films * numbers)

    def rows(self, films: int) -> Rows:
        """Return the memory for as many films; what was in it before is lost.

        Args:
            films: at most ``self.films``.
        """
        rows = sum(self._sizes)
        numbers = self._memory[: rows * films * self._numbers].view(rows, films, self._numbers)
        *parts, both = numbers.split(self._sizes)
        return Rows(*parts, both[0])


def choose(rows: Rows) -> None:
    """Fill ``prob`` and ``both`` from ``teacher``.

    Args:
        rows: changed in place.
    """
    torch.softmax(rows.teacher, dim=-1, out=rows.prob)
    torch.add(rows.prob[0], rows.prob[1], out=rows.both).mul_(0.5)


def sum_of_pairs(rows: Rows, *, difference: Tensor | None = None) -> Tensor:
    """Return the loss summed over pairs and films, a scalar; fill ``difference``.

    Args:
        rows: with ``student``, ``prob`` and ``both``.
        difference: goes here instead of into the rows, ``(V, n, K)``.
    """
    student, softmax, prob = rows.student, rows.difference, rows.prob
    torch.softmax(student, dim=-1, out=softmax)
    log_sum = log_sum_exp(student, softmax)
    total = log_sum[:2].sum() + 2 * log_sum[2:].sum()
    total -= torch.dot(student[0].flatten(), prob[1].flatten())
    total -= torch.dot(student[1].flatten(), prob[0].flatten())
    total -= 2 * torch.mv(student[2:].flatten(1), rows.both.flatten()).sum()
    out = softmax if difference is None else difference
    torch.sub(softmax[0], prob[1], out=out[0])
    torch.sub(softmax[1], prob[0], out=out[1])
    torch.sub(softmax[2:], rows.both, out=out[2:])
    return total


def log_sum_exp(logits: Tensor, softmax: Tensor) -> Tensor:
    """Return the logarithm of the sum that ``softmax`` was divided by, without another exp.

    The largest probability is 1 over the sum of exponentials of differences from the maximum.

    Args:
        logits: ``(..., K)``.
        softmax: of the logits.
    """
    return logits.amax(dim=-1) - softmax.amax(dim=-1).log()


def view_weights(views: int, films: int, like: Tensor) -> Tensor:
    """Return what each view's difference counts in the mean over pairs and films, ``(V, 1, 1)``.

    Args:
        views: V, with the two global ones.
        films: in the batch.
        like: gives dtype and device.
    """
    weights = like.new_full((views, 1, 1), 2.0)
    weights[:2] = 1.0
    return weights / (films * (2 * views - 2))
