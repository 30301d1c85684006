# SPDX-License-Identifier: Apache-2.0
"""The DINO loss of given logits as an autograd function, a few films at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from monai_kd.losses.dino_pairs import (
    Room,
    choose,
    sum_of_pairs,
    view_weights,
)

__all__ = [
    "LossFromLogits",
    "TeacherLogits",
    "refuse_second_derivative",
    "scaled",
    "wide_type",
]


class TeacherLogits(NamedTuple):
    """What the teacher said of views 0 and 1; receives no gradient.

    Attributes:
        logits: ``(2 * B, K)``.
        center: subtracted from the logits, ``(K,)``.
        temperature: divides them, above 0.
    """

    logits: Tensor
    center: Tensor
    temperature: float


class LossFromLogits(torch.autograd.Function):
    """See :func:`~monai_kd.losses.dino_loss`."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: TeacherLogits, temperature: float) -> Tensor:
        """Return the loss; keep its gradient with respect to ``student``.

        Args:
            ctx: autograd's.
            student: logits, ``(V * B, K)``.
            teacher: its logits and how to read them.
            temperature: of the student, above 0.
        """
        films, numbers = len(teacher.logits) // 2, student.shape[1]
        s = student.reshape(-1, films, numbers)
        t = teacher.logits.reshape(2, films, numbers)
        like = torch.empty(0, dtype=wide_type(student), device=student.device)
        gradient = like.new_empty(s.shape) if ctx.needs_input_grad[0] else None
        center = teacher.center.to(like) / teacher.temperature
        loss = like.new_zeros(())
        room = Room(len(s), films, numbers, like)
        with torch.autocast(student.device.type, enabled=False):  # its products lose digits
            for start in range(0, films, room.films):
                part = slice(start, min(start + room.films, films))
                rows = room.rows(part.stop - start)
                torch.mul(t[:, part].to(like), 1 / teacher.temperature, out=rows.teacher)
                rows.teacher.sub_(center)
                choose(rows)
                torch.mul(s[:, part].to(like), 1 / temperature, out=rows.student)
                difference = None if gradient is None else gradient[:, part]
                loss += sum_of_pairs(rows, difference=difference)
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

        Raises:
            RuntimeError: see :func:`refuse_second_derivative`.
        """
        refuse_second_derivative()
        (gradient,) = ctx.saved_tensors
        return scaled(gradient, upstream * ctx.scale).view(ctx.shape).to(ctx.dtype), None, None


def refuse_second_derivative() -> None:
    """Raise in a backward pass that makes a graph: what it would leave out would count as 0.

    Raises:
        RuntimeError: if gradients of the gradients are asked for.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "DINO loss: `create_graph` must be False, got True. Its gradient is computed by hand "
            "and has no gradient of its own."
        )


def wide_type(tensor: Tensor) -> torch.dtype:
    """Return the type to compute in: float32, or float64 where it is given.

    Args:
        tensor: any.
    """
    return torch.promote_types(tensor.dtype, torch.float32)


def scaled(gradient: Tensor, factor: Tensor) -> Tensor:
    """Multiply; in place where nobody can ask for this gradient again.

    Args:
        gradient: kept since the forward pass, used up.
        factor: to multiply with.
    """
    keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    if keeps_graph is None or keeps_graph():
        return gradient * factor
    return gradient.mul_(factor)
