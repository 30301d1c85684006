# SPDX-License-Identifier: Apache-2.0
"""What a batch of views becomes: those the student sees, and the teacher's answer to its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor, nn

from monai_kd.engines.chosen_loss import ChosenLoss
from monai_kd.engines.prepare_batch import prefixed

__all__ = ["ViewsPrepareBatch"]

_VIEWS = ("original", "noised", "local")
_DRAWS = "view_draws"


class ViewsPrepareBatch(PrepareBatch):
    """Move views to the device, ask the teacher, and leave out what no loss of the moment needs.

    The teacher sees the untouched and the noised global view (method section 2.2), the student all
    of them; without self-supervision the teacher sees the untouched and the student the noised one.

    Args:
        teacher: answers a dictionary of views without gradient; asked only when the loss needs it.
        loss: the one that is minimised; says what it needs.
        to_float: makes network input of the 8-bit views, on the device; see
            :func:`monai_kd.transforms.views_to_float`.
        render: makes the views of the films and ``view_draws``, on the device, where the data set
            has left that; see :func:`monai_kd.transforms.render_views`.
        label_key: item of the batch that the loss takes as ``label``.
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        loss: ChosenLoss,
        to_float: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        render: Callable[[Tensor, Tensor], dict[str, Tensor]] | None = None,
        label_key: str = "label",
    ) -> None:
        self.teacher = teacher
        self.loss = loss
        self.to_float = to_float
        self.render = render
        self.label_key = label_key

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], tuple[()], dict[str, bool]]:
        """Return the student's views, the loss's keyword arguments, and the network's.

        Args:
            batchdata: the collated batch, with ``original``, ``noised``, perhaps ``local`` (or
                ``original`` and ``view_draws``), and the label.
            device: where the tensors go.
            non_blocking: whether a copy to the device may overlap with other work.
            kwargs: further arguments of ``Tensor.to``.

        Raises:
            ValueError: if views are to be made here and there is no ``render``.
        """
        project = self.loss.needs_projection
        keys = [key for key in (*_VIEWS, _DRAWS) if key in batchdata]
        seen = {key: batchdata[key].to(device, non_blocking=non_blocking, **kwargs) for key in keys}
        if _DRAWS in seen:
            if self.render is None:
                raise ValueError(
                    "ViewsPrepareBatch: `render` must make the views that the data set has left to "
                    "the device, got None. Give monai_kd.transforms.render_views."
                )
            seen = self.render(seen["original"], seen[_DRAWS])
        if not project:
            seen.pop("local", None)
        views = self.to_float(seen)
        targets = {"label": batchdata[self.label_key].to(device, non_blocking=non_blocking)}
        if self.loss.needs_teacher:
            shown = ("original", "noised") if project else ("original",)
            answer = self.teacher({name: views[name] for name in shown}, project=project)
            targets |= prefixed("teacher_", answer)
        if not (project or self.loss.needs_student_original):
            views = {"noised": views["noised"]}
        return views, targets, (), {"project": project}
