# SPDX-License-Identifier: Apache-2.0
r"""Cross-entropies between all pairs of views at once, and their gradients in closed form.

With the student's tempered logits :math:`s_v` of V views of a film and the teacher's probabilities
:math:`q_0, q_1`, the cross-entropies of all pairs of a teacher view and another student view sum to

.. math:: \sum_v n_v (\mathrm{logsumexp}(s_v) - \langle s_v, \bar q_v \rangle)

where :math:`n_v` teacher views, of mean :math:`\bar q_v`, are compared with view v: the other one
with each of the two global views, both with a local view. So each row needs one softmax, and its
gradient is :math:`n_v (\mathrm{softmax}(s_v) - \bar q_v)`. Pair by pair, the same takes
:math:`2 V - 2` passes over logits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Room", "Rows", "choose", "chunk_bytes", "sum_of_pairs", "view_weights"]


def chunk_bytes(device: torch.device) -> int:
    """Return how many bytes of the student's logits to work on at a time.

    Args:
        device: a processor's cache is small, an accelerator wants more work per call.
    """
    return 3 * 2**20 if device.type == "cpu" else 32 * 2**20


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
        logits: whether there is room for the logits, too; otherwise they lie elsewhere.
    """

    def __init__(
        self, views: int, films: int, numbers: int, like: Tensor, *, logits: bool = True
    ) -> None:
        of_one = views * numbers * like.element_size()
        self.films = max(1, min(films, chunk_bytes(like.device) // of_one))
        self._rows = 2 * views + 5 if logits else views + 3
        self._views = views
        self._numbers = numbers
        self._memory = like.new_empty(self._rows * self.films * numbers)

    def rows(
        self, films: int, *, student: Tensor | None = None, teacher: Tensor | None = None
    ) -> Rows:
        """Return the memory for as many films; what was in it before is lost.

        Args:
            films: at most ``self.films``.
            student: the student's logits, where they lie elsewhere.
            teacher: the teacher's.
        """
        shape, views = (self._rows, films, self._numbers), self._views
        memory = self._memory[: math.prod(shape)].view(shape)
        return Rows(
            student=memory[views + 3 : 2 * views + 3] if student is None else student,
            difference=memory[:views],
            teacher=memory[-2:] if teacher is None else teacher,
            prob=memory[views : views + 2],
            both=memory[views + 2],
        )


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
        difference: goes here instead of into the rows, ``(V, n, K)``; may be ``rows.student``,
            whose logits are lost then.
    """
    student, softmax, prob = rows.student, rows.difference, rows.prob
    torch.softmax(student, dim=-1, out=softmax)
    # The largest probability is 1 over the sum of exp(logit - maximum): no other exp is needed.
    log_sum = student.amax(dim=-1) - softmax.amax(dim=-1).log()
    total = log_sum[:2].sum() + 2 * log_sum[2:].sum()
    total -= torch.dot(student[0].flatten(), prob[1].flatten())
    total -= torch.dot(student[1].flatten(), prob[0].flatten())
    total -= 2 * torch.mv(student[2:].flatten(1), rows.both.flatten()).sum()
    out = softmax if difference is None else difference
    torch.sub(softmax[0], prob[1], out=out[0])
    torch.sub(softmax[1], prob[0], out=out[1])
    torch.sub(softmax[2:], rows.both, out=out[2:])
    return total


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
