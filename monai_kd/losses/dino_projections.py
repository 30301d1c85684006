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

from monai_kd.losses.dino_logits import scaled, wide_type
from monai_kd.losses.dino_pairs import Room, choose, sum_of_pairs, view_weights

__all__ = ["LossFromProjections", "TeacherProjections"]

LOGITS_BYTES = 32 * 2**20  # of student and teacher together


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
        """Return loss, mean entropy and mean of the teacher's choices; keep what backward needs.

        Args:
            ctx: autograd's.
            student: projections, ``(V * B, D)``.
            prototypes: the student's, ``(K, D)``.
            teacher: its projections and how to read them.
            temperature: of the student, above 0.
        """
        wide = wide_type(student)
        ctx.dtypes, ctx.temperature = (student.dtype, prototypes.dtype), temperature
        with torch.autocast(student.device.type, enabled=False):
            sums = _Sums(student.to(wide) / temperature, prototypes.to(wide), teacher)
            learned = ctx.needs_input_grad[:2]
            if len(sums.parts) == 1:
                difference = sums.add(sums.parts[0])
                ctx.save_for_backward(difference if any(learned) else None, student, prototypes)
            else:
                gradients = _Gradients(*learned)
                for part in sums.parts:
                    difference = sums.add(part)
                    weighted = (sums.weights * sums.student[:, part]).flatten(0, 1)
                    gradients.add(difference, sums.prototypes, weighted)
                if gradients.student is not None:
                    by_view = gradients.student.view(len(sums.parts), sums.views, -1)
                ctx.save_for_backward(gradients.student, gradients.prototypes)
        entropy, marginal = sums.entropy / sums.rows, sums.marginal / sums.rows
        ctx.mark_non_differentiable(entropy, marginal)
        return sums.loss / (sums.films * (2 * sums.views - 2)), entropy, marginal
