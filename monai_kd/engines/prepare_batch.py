# SPDX-License-Identifier: Apache-2.0
"""What a batch becomes before the student sees it: an image, and everything the loss needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor, nn

from monai_kd.networks import TeacherFeatureCache

__all__ = ["TeacherPrepareBatch", "prefixed"]


class TeacherPrepareBatch(PrepareBatch):
    """Move a batch to the device and add the teacher's answer to its targets.

    Args:
        teacher: network that answers, without gradient, with logits or with a dictionary of
            tensors; None when nobody is asked.
        image_key: item of the batch that the student sees.
        teacher_key: item of the batch that the teacher sees.
        target_keys: items of the batch that the loss takes, under the same names.
        is_needed: asked before each batch; when it says no, the teacher is not run at all and the
            loss gets no ``teacher_*`` item. A loss whose distillation weight is 0 needs nobody.
    """

    def __init__(
        self,
        teacher: nn.Module | None,
        *,
        image_key: str = "image",
        teacher_key: str = "image",
        target_keys: Sequence[str] = ("label",),
        is_needed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.teacher = teacher
        self.image_key = image_key
        self.teacher_key = teacher_key
        self.target_keys = tuple(target_keys)
        self.is_needed = is_needed

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the student's image and the loss's keyword arguments.

        Args:
            batchdata: the collated batch.
            device: where the tensors go.
            non_blocking: whether a copy to the device may overlap with other work.
            kwargs: further arguments of ``Tensor.to``.

        Raises:
            KeyError: if the batch lacks an item that is asked for.
        """
        teacher = self.teacher if self.is_needed() else None
        wanted = {self.image_key, *self.target_keys} | (
            {self.teacher_key} if teacher is not None else set()
        )
        missing = sorted(wanted - batchdata.keys())
        if missing:
            raise KeyError(
                f"TeacherPrepareBatch: the batch has no {missing}, it has {sorted(batchdata)}. Add "
                "the transform that makes it, or drop it from `target_keys`."
            )
        items = {
            key: batchdata[key].to(device, non_blocking=non_blocking, **kwargs) for key in wanted
        }
        targets = {key: items[key] for key in self.target_keys}
        if teacher is not None:
            targets |= prefixed("teacher_", _ask(teacher, items[self.teacher_key], batchdata))
        return items[self.image_key], targets


@torch.no_grad()
def _ask(teacher: nn.Module, image: Tensor, batchdata: Mapping[str, Any]) -> Any:
    """Return the teacher's answer; one that remembers films is told which they are."""
    if isinstance(teacher, TeacherFeatureCache):
        return teacher(image, batchdata["index"])
    return teacher(image)


def prefixed(prefix: str, answer: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's answer under the names that losses use.

    Args:
        prefix: ``"student_"`` or ``"teacher_"``.
        answer: logits, or a dictionary such as ``{"logits": ..., "features": ...}``.

    Returns:
        ``{"student_logits": ...}`` and so on.
    """
    named = {"logits": answer} if isinstance(answer, Tensor) else answer
    return {prefix + name: value for name, value in named.items()}
