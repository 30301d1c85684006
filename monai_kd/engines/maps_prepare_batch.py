# SPDX-License-Identifier: Apache-2.0
"""What a batch becomes for aals: the student's pictures, and maps that the teacher fills in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor, nn

from monai_kd.losses import AALSLoss, map_roles

__all__ = ["MapsPrepareBatch"]

_ROLES = ("label", "region_drawn", "region_annotated")
_TARGETS = (*_ROLES, "region_mask")
_HIDDEN = ("hidden_region_mask", "hidden_region_annotated")


class MapsPrepareBatch(PrepareBatch):
    """Move a batch to the device, and ask the teacher about the films that need it, and no others.

    A film needs the teacher where a finding is present and nobody drew it. The teacher sees
    ``teacher_image``, the film without the student's noise.

    Args:
        teacher: answers with ``map_logits``, without gradient.
        loss: the one that is minimised; says whether it needs the teacher.
    """

    def __init__(self, teacher: nn.Module, *, loss: AALSLoss) -> None:
        self.teacher = teacher
        self.loss = loss

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
            KeyError: if the batch lacks an item.
        """
        missing = sorted({"image", "teacher_image", *_TARGETS} - batchdata.keys())
        if missing:
            raise KeyError(
                f"MapsPrepareBatch: the batch has no {missing}, it has {sorted(batchdata)}. Add "
                "the transform that makes it: LoadRadiographd, RegionsToMaskd, LabelToTensord or "
                "aals_augmentation."
            )
        keys = [*_TARGETS, *(key for key in _HIDDEN if key in batchdata)]

        def there(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking, **kwargs)

        targets = {key: there(batchdata[key]) for key in keys}
        if self.loss.needs_teacher:
            asked = map_roles(*(batchdata[key] for key in _ROLES)).pseudo.any(1)
            if asked.any():
                maps = self._ask(there(batchdata["teacher_image"][asked]))
                whole = maps.new_zeros(len(asked), *maps.shape[1:])
                whole[asked.to(whole.device)] = maps
                targets["teacher_map_logits"] = whole
        return there(batchdata["image"]), targets

    @torch.no_grad()
    def _ask(self, image: Tensor) -> Tensor:
        maps: Tensor = self.teacher(image)["map_logits"]
        return maps.float()
