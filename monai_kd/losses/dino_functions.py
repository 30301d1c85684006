# SPDX-License-Identifier: Apache-2.0
"""The DINO loss as autograd functions: the gradients are made with the loss, a few films at a time.

What is kept for the backward pass are the gradients themselves; the logits are gone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from monai_kd.losses.dino_pairs import (
    Room,
    Rows,
    choose,
    log_sum_exp,
    sum_of_pairs,
    view_weights,
)

__all__ = ["Asked", "LossFromLogits", "LossFromProjections"]


class Asked(NamedTuple):
    """What the teacher said of views 0 and 1; receives no gradient.

    Attributes:
        answer: its logits, ``(2 * B, K)``, or projections, ``(2 * B, D)``.
        prototypes: ``(K, D)`` for projections, else None.
        center: subtracted from the logits, ``(K,)``; None for none.
        temperature: divides them, above 0.
    """

    answer: Tensor
    prototypes: Tensor | None
    center: Tensor | None
    temperature: float


class LossFromLogits(torch.autograd.Function):
    """See :func:`~monai_kd.losses.dino_loss`."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Asked, temperature: float) -> Tensor:
        """Return the loss; keep its gradient with respect to ``student``.

        Args:
            ctx: autograd's.
            student: logits, ``(V * B, K)``.
            teacher: with logits.
            temperature: of the student, above 0.
        """
        films, numbers = len(teacher.answer) // 2, student.shape[1]
        s = student.reshape(-1, films, numbers)
        t = teacher.answer.reshape(2, films, numbers)
        like = torch.empty(0, dtype=_wide(student), device=student.device)
        gradient = like.new_empty(s.shape) if ctx.needs_input_grad[0] else None
        center = None if teacher.center is None else teacher.center / teacher.temperature
        loss = like.new_zeros(())
        room = Room(len(s), films, numbers, like)
        for start in range(0, films, room.films):
            part = slice(start, min(start + room.films, films))
            rows = room.rows(part.stop - start)
            torch.mul(t[:, part], 1 / teacher.temperature, out=rows.teacher)
            if center is not None:
                rows.teacher.sub_(center)
            choose(rows)
            torch.mul(s[:, part], 1 / temperature, out=rows.student)
            loss += sum_of_pairs(rows, difference=None if gradient is None else gradient[:, part])
        if gradient is not None:
            ctx.save_for_backward(gradient)
            ctx.scale = view_weights(len(s), films, like) / temperature
            ctx.shape, ctx.dtype = student.shape, student.dtype
        return loss / (films * (2 * len(s) - 2))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient with respect to ``student``.

        Args:
            ctx: autograd's.
            upstream: gradient with respect to the loss.
        """
        (gradient,) = ctx.saved_tensors
        return _scaled(gradient, upstream * ctx.scale).view(ctx.shape).to(ctx.dtype), None, None


class LossFromProjections(torch.autograd.Function):
    """See :class:`~monai_kd.losses.DINOLoss`."""

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, prototypes: Tensor, teacher: Asked, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, mean entropy and mean of the teacher's choices; keep the gradients.

        Args:
            ctx: autograd's.
            student: projections, ``(V * B, D)``.
            prototypes: the student's, ``(K, D)``.
            teacher: with projections and prototypes.
            temperature: of the student, above 0.
        """
        films, numbers = len(teacher.answer) // 2, len(prototypes)
        wide = _wide(student)
        with torch.autocast(student.device.type, enabled=False):
            chunks = _Chunks(
                student.to(wide).reshape(-1, films, student.shape[1]),
                prototypes.to(wide),
                teacher,
                temperature,
                needs=ctx.needs_input_grad[:2],
            )
            chunks.run(Room(len(student) // films, films, numbers, chunks.student))
        ctx.save_for_backward(*chunks.gradients(student.shape))
        ctx.dtypes = student.dtype, prototypes.dtype
        entropy, marginal = chunks.entropy / (2 * films), chunks.marginal / (2 * films)
        ctx.mark_non_differentiable(entropy, marginal)
        return chunks.loss / (films * (2 * len(chunks.student) - 2)), entropy, marginal

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, *_unused: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients with respect to ``student`` and ``prototypes``.

        Args:
            ctx: autograd's.
            upstream: gradient with respect to the loss.
        """
        kept = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        first, second = (
            None if gradient is None else _scaled(gradient, upstream).to(dtype)
            for gradient, dtype in kept
        )
        return first, second, None, None


class _Chunks:
    """Sums over chunks of films: the loss, what the teacher chose, and the gradients."""

    def __init__(
        self,
        student: Tensor,  # (V, B, D)
        prototypes: Tensor,
        teacher: Asked,
        temperature: float,
        *,
        needs: tuple[bool, bool],
    ) -> None:
        views, films, _ = student.shape
        self.student, self.prototypes = student, prototypes
        scale = view_weights(views, films, student) / temperature
        self.scaled = student * scale if needs[1] else None
        self.cold = student / temperature
        self.scale = scale
        assert_prototypes = teacher.prototypes if teacher.prototypes is not None else prototypes
        self.teacher = teacher.answer.to(student).reshape(2, films, -1) / teacher.temperature
        self.teacher_prototypes = assert_prototypes.to(prototypes)
        self.center = None if teacher.center is None else -teacher.center / teacher.temperature
        self.loss, self.entropy = student.new_zeros(2).unbind()
        self.marginal = student.new_zeros(len(prototypes))
        self.d_student = torch.empty_like(student) if needs[0] else None
        self.d_prototypes = torch.zeros_like(prototypes) if needs[1] else None

    def run(self, room: Room) -> None:
        films = self.student.shape[1]
        for start in range(0, films, room.films):
            part = slice(start, min(start + room.films, films))
            rows = room.rows(part.stop - start)
            self._ask_teacher(rows, part)
            torch.mm(_flat(self.cold[:, part]), self.prototypes.T, out=_flat(rows.student))
            self.loss += sum_of_pairs(rows)
            difference = _flat(rows.difference)
            if self.d_student is not None:
                d = (difference @ self.prototypes).view(
                    len(self.student), -1, self.student.shape[2]
                )
                torch.mul(d, self.scale, out=self.d_student[:, part])
            if self.d_prototypes is not None and self.scaled is not None:
                self.d_prototypes.addmm_(difference.T, _flat(self.scaled[:, part]))

    def _ask_teacher(self, rows: Rows, part: slice) -> None:
        logits, projection = _flat(rows.teacher), _flat(self.teacher[:, part])
        if self.center is None:
            torch.mm(projection, self.teacher_prototypes.T, out=logits)
        else:
            torch.addmm(self.center, projection, self.teacher_prototypes.T, out=logits)
        choose(rows)
        self.entropy += log_sum_exp(rows.teacher, rows.prob).sum()
        self.entropy -= torch.dot(logits.flatten(), rows.prob.flatten())
        self.marginal += rows.prob.sum(dim=(0, 1))

    def gradients(self, shape: torch.Size) -> tuple[Tensor | None, Tensor | None]:
        return (None if self.d_student is None else self.d_student.view(shape)), self.d_prototypes


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _scaled(gradient: Tensor, factor: Tensor) -> Tensor:
    """Multiply; in place where nobody can ask for this gradient again."""
    keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    if keeps_graph is None or keeps_graph():
        return gradient * factor
    return gradient.mul_(factor)
