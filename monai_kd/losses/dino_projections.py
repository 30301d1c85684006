# SPDX-License-Identifier: Apache-2.0
"""The DINO loss of projections and prototypes as an autograd function, a few prototypes at a time.

Two passes over blocks of prototypes: the first sums the exponentials of every row, the second makes
the same logits again, which then give loss and gradients. A product more, but the logits never
leave the cache, and no memory grows with the batch. What is kept for the backward pass are the
gradients themselves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from monai_kd.losses.dino_logits import scaled, wide_type
from monai_kd.losses.dino_pairs import chunk_bytes, view_weights

__all__ = ["LossFromProjections", "TeacherProjections"]


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
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, mean entropy and mean of the teacher's choices; keep the gradients.

        Args:
            ctx: autograd's.
            student: projections, ``(V * B, D)``.
            prototypes: the student's, ``(K, D)``.
            teacher: its projections and how to read them.
            temperature: of the student, above 0.
        """
        wide = wide_type(student)
        with torch.autocast(student.device.type, enabled=False):
            sums = _Sums(student.to(wide), prototypes.to(wide), temperature, teacher)
            sums.add_gradients(*ctx.needs_input_grad[:2])
            sums.run()
        ctx.save_for_backward(sums.of_student, sums.of_prototypes)
        ctx.dtypes = student.dtype, prototypes.dtype
        entropy, marginal = sums.entropy / sums.rows, sums.marginal / sums.rows
        ctx.mark_non_differentiable(entropy, marginal)
        return sums.loss / (sums.films * (2 * sums.views - 2)), entropy, marginal

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, *_unused: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients with respect to ``student`` and ``prototypes``.

        Args:
            ctx: autograd's.
            upstream: gradient with respect to the loss.
        """
        first, second = (
            None if gradient is None else scaled(gradient, upstream).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return first, second, None, None


class _Sums:
    """Loss, gradients and what the teacher chose, summed over blocks of prototypes."""

    def __init__(
        self, student: Tensor, prototypes: Tensor, temperature: float, teacher: TeacherProjections
    ) -> None:
        self.rows = len(teacher.projection)
        self.films = self.rows // 2
        self.views = len(student) // self.films
        self.student, self.prototypes = student / temperature, prototypes
        self.teacher = teacher.projection.to(student) / teacher.temperature
        self.teacher_prototypes = teacher.prototypes.to(prototypes)
        center = teacher.center
        self.center = None if center is None else center.to(prototypes) / -teacher.temperature
        weights = view_weights(self.views, self.films, student)  # in gradients of s / temperature
        self.weights = weights.expand(-1, self.films, 1).reshape(-1, 1)  # (V * B, 1)
        self.temperature = temperature
        self.loss, self.entropy = student.new_zeros(()), student.new_zeros(())
        self.marginal = student.new_empty(len(prototypes))
        self.of_student: Tensor | None = None
        self.of_prototypes: Tensor | None = None

    def add_gradients(self, student: bool, prototypes: bool) -> None:
        self.of_student = torch.zeros_like(self.student) if student else None
        self.of_prototypes = torch.empty_like(self.prototypes) if prototypes else None
        self.weighted = self.student * self.weights

    def run(self) -> None:
        numbers, of_one = len(self.prototypes), self.student.element_size() * len(self.student)
        blocks = -(-numbers * of_one // chunk_bytes(self.student.device))  # rounded up
        size = -(-numbers // min(blocks, numbers))
        parts = [slice(start, start + size) for start in range(0, numbers, size)]
        sums = [[part.logsumexp(dim=1) for part in self._logits(block)] for block in parts]
        student, teacher = (torch.stack(part).logsumexp(dim=0) for part in zip(*sums, strict=True))
        by_view = student.view(self.views, -1)
        self.loss += by_view[:2].sum() + 2 * by_view[2:].sum()
        self.entropy += teacher.sum()
        for part in parts:
            self._add(part, student[:, None], teacher[:, None])
        if self.of_student is not None:
            self.of_student *= self.weights / self.temperature

    def _logits(self, part: slice) -> tuple[Tensor, Tensor]:
        student = self.student @ self.prototypes[part].T
        prototypes = self.teacher_prototypes[part].T
        if self.center is None:
            return student, self.teacher @ prototypes
        return student, torch.addmm(self.center[part], self.teacher, prototypes)

    def _add(self, part: slice, student_sum: Tensor, teacher_sum: Tensor) -> None:
        student, teacher = self._logits(part)
        prob = (teacher - teacher_sum).exp_()
        self.entropy -= torch.dot(prob.flatten(), teacher.flatten())
        torch.sum(prob, dim=0, out=self.marginal[part])
        first, second = prob.view(2, self.films, -1)
        both = (first + second).mul_(0.5)
        logits = student.view(self.views, self.films, -1)
        self.loss -= torch.dot(logits[0].flatten(), second.flatten())
        self.loss -= torch.dot(logits[1].flatten(), first.flatten())
        self.loss -= 2 * torch.mv(logits[2:].flatten(1), both.flatten()).sum()
        difference = student.sub_(student_sum).exp_()  # from here on the logits are gone
        logits[0].sub_(second)
        logits[1].sub_(first)
        logits[2:].sub_(both)
        if self.of_student is not None:
            self.of_student.addmm_(difference, self.prototypes[part])
        if self.of_prototypes is not None:
            torch.mm(difference.T, self.weighted, out=self.of_prototypes[part])
