# SPDX-License-Identifier: Apache-2.0
"""The DINO loss of projections and prototypes as an autograd function, a few films at a time.

The logits of a few films, as many as fit into a fixed budget, give their part of the loss; then
softmax less target takes their place, and is all that the gradients need. If the whole batch fits,
it is kept and the gradients are made in the backward pass. If not, each part adds to the gradients
at once, and what is kept are the gradients themselves: no memory grows with the batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from monai_kd.losses.dino_logits import refuse_second_derivative, scaled, wide_type
from monai_kd.losses.dino_pairs import Room, choose, sum_of_pairs, view_weights

__all__ = ["LossFromProjections", "TeacherProjections"]

LOGITS_BYTES = 32 * 2**20  # of student and teacher together
BLOCK = 1024  # prototypes whose gradients stay in a processor's cache


class TeacherProjections(NamedTuple):
    """What the teacher said of views 0 and 1; receives no gradient.

    Attributes:
        projection: ``(2 * B, D)``.
        prototypes: ``(K, D)``.
        center: subtracted from the logits, ``(K,)``; None for none.
        temperature: divides them, above 0.
    """

    projection: Tensor
    prototypes: Tensor
    center: Tensor | None
    temperature: float


class LossFromProjections(torch.autograd.Function):
    """See :class:`~monai_kd.losses.DINOLoss`."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        prototypes: Tensor,
        teacher: TeacherProjections,
        temperature: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the loss, and of the teacher: mean entropy, mean choice and mean logits.

        Args:
            ctx: autograd's.
            student: projections, ``(V * B, D)``.
            prototypes: the student's, ``(K, D)``.
            teacher: its projections and how to read them.
            temperature: of the student, above 0.
        """
        learned = ctx.needs_input_grad[:2]
        with torch.autocast(student.device.type, enabled=False):
            sums = _Sums(student, prototypes, teacher, temperature)
            if len(sums.parts) == 1:
                difference = sums.add(sums.parts[0])
                ctx.save_for_backward(difference if any(learned) else None, student, prototypes)
            else:
                of_student = torch.empty_like(sums.student) if learned[0] else None
                of_prototypes = torch.empty_like(sums.prototypes) if learned[1] else None
                for part in sums.parts:
                    difference = sums.add(part)
                    if of_student is not None:
                        of_student[:, part] = difference @ sums.prototypes
                    if of_prototypes is not None:
                        weighted = sums.weights * sums.student[:, part]
                        _multiply(difference, weighted, of_prototypes, add=part.start > 0)
                if of_student is not None:
                    of_student = of_student.mul_(sums.weights / temperature).flatten(0, 1)
                ctx.save_for_backward(of_student, of_prototypes)
        ctx.whole, ctx.temperature = len(sums.parts) == 1, temperature
        ctx.dtypes = student.dtype, prototypes.dtype
        means = [total / sums.rows for total in (sums.entropy, sums.marginal, sums.centered)]
        means[2] *= teacher.temperature
        if teacher.center is not None:
            means[2] += teacher.center
        ctx.mark_non_differentiable(*means)
        return sums.loss / (sums.films * (2 * sums.views - 2)), means[0], means[1], means[2]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, *_unused: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients with respect to ``student`` and ``prototypes``.

        Args:
            ctx: autograd's.
            upstream: gradient with respect to the loss.

        Raises:
            RuntimeError: see :func:`refuse_second_derivative`.
        """
        refuse_second_derivative()
        if ctx.whole:
            with torch.autocast(upstream.device.type, enabled=False):
                gradients = _gradients(ctx, upstream)
        else:
            gradients = [
                None if gradient is None else scaled(gradient, upstream)
                for gradient in ctx.saved_tensors
            ]
        first, second = (
            None if gradient is None else gradient.to(dtype)
            for gradient, dtype in zip(gradients, ctx.dtypes, strict=True)
        )
        return first, second, None, None


class _Sums:
    """Loss, and what the teacher chose, summed over parts of the batch."""

    def __init__(
        self, student: Tensor, prototypes: Tensor, teacher: TeacherProjections, temperature: float
    ) -> None:
        wide = wide_type(student)
        self.rows, (numbers, width) = len(teacher.projection), prototypes.shape
        self.films = self.rows // 2
        self.views = len(student) // self.films
        self.student = (student.to(wide) / temperature).view(self.views, self.films, width)
        self.prototypes = prototypes.to(wide)
        self.teacher = (teacher.projection.to(wide) / teacher.temperature).view(2, -1, width)
        self.teacher_prototypes = teacher.prototypes.to(wide)
        center = teacher.center
        self.center = None if center is None else center.to(wide) / -teacher.temperature
        self.weights = view_weights(self.views, self.films, self.student)
        self.loss, self.entropy = self.student.new_zeros(()), self.student.new_zeros(())
        self.marginal = self.student.new_zeros(numbers)
        self.centered = self.student.new_zeros(numbers)
        of_one = (self.views + 2) * numbers * self.student.element_size()
        most = max(1, LOGITS_BYTES // of_one)
        size = -(-self.films // -(-self.films // most))  # parts of equal size, rounded up
        starts = range(0, self.films, size)
        self.parts = [slice(start, min(start + size, self.films)) for start in starts]
        self._logits = self.student.new_empty((self.views + 2) * size * numbers)
        self._room = Room(self.views, size, numbers, self.student, logits=False)

    def add(self, part: slice) -> Tensor:
        """Return some films' softmax less target, ``(V, n, K)``; the next call overwrites it."""
        films, numbers = part.stop - part.start, len(self.prototypes)
        memory = self._logits[: (self.views + 2) * films * numbers].view(-1, films, numbers)
        student, teacher = memory[: self.views], memory[self.views :]
        _fill(student, self.student[:, part], self.prototypes)
        _fill(teacher, self.teacher[:, part], self.teacher_prototypes, self.center)
        self.centered += teacher.sum(dim=(0, 1))
        for start in range(0, films, self._room.films):
            few = slice(start, min(start + self._room.films, films))
            logits = teacher[:, few]
            rows = self._room.rows(few.stop - start, student=student[:, few], teacher=logits)
            choose(rows)
            self.marginal += rows.prob.sum(dim=(0, 1))
            log_sum = logits.amax(dim=-1) - rows.prob.amax(dim=-1).log()
            self.entropy += log_sum.sum()
            for prob, one in zip(rows.prob, logits, strict=True):
                self.entropy -= torch.dot(prob.flatten(), one.flatten())
            self.loss += sum_of_pairs(rows, difference=rows.student)
        return student


def _fill(out: Tensor, rows: Tensor, prototypes: Tensor, center: Tensor | None = None) -> None:
    """Write the logits of ``rows``, less the center."""
    flat, rows = out.flatten(0, 1), rows.flatten(0, 1)
    if center is None:
        torch.mm(rows, prototypes.T, out=flat)
    else:
        torch.addmm(center, rows, prototypes.T, out=flat)


def _multiply(difference: Tensor, rows: Tensor, out: Tensor, *, add: bool = False) -> None:
    """Write the sum of outer products of ``difference`` and ``rows`` into ``out``, or add it."""
    difference, rows = difference.flatten(0, 1), rows.flatten(0, 1)
    size = BLOCK if out.device.type == "cpu" else len(out)
    for start in range(0, len(out), size):
        block = slice(start, start + size)
        torch.addmm(
            out[block], difference[:, block].T, rows, beta=1.0 if add else 0.0, out=out[block]
        )


def _gradients(ctx: Any, upstream: Tensor) -> list[Tensor | None]:
    """Return both gradients of a batch whose differences were kept."""
    difference, student, prototypes = ctx.saved_tensors
    views, films, _ = difference.shape
    factor = view_weights(views, films, difference) * (upstream / ctx.temperature)
    of_student, of_prototypes = None, None
    if ctx.needs_input_grad[0]:
        of_student = (difference @ prototypes.to(difference)).mul_(factor).flatten(0, 1)
    if ctx.needs_input_grad[1]:
        of_prototypes = difference.new_empty(prototypes.shape)
        rows = factor * student.to(difference).view(views, films, -1)
        _multiply(difference, rows, of_prototypes)
    return [of_student, of_prototypes]
