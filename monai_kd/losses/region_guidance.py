# SPDX-License-Identifier: Apache-2.0
"""Pull the student's class-activation map into the region that an expert drew.

Sources: Ross, Hughes and Doshi-Velez, "Right for the Right Reasons: Training Differentiable Models
by Constraining their Explanations", IJCAI 2017, https://arxiv.org/abs/1703.03717 (explanations
outside the expert's mask are penalised), and Li et al., "Tell Me Where to Look: Guided Attention
Inference Network", CVPR 2018, https://arxiv.org/abs/1802.10171 (attention maps of a finding are
trained with its region). The share of mass outside, as a loss, is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.utils import check_same_shape

__all__ = ["RegionGuidanceLoss"]


class RegionGuidanceLoss(nn.Module):
    r"""Share of the positive class activation that lies outside the expert's region.

    .. math::
        L = 1 - \frac{\sum_{\text{region}} \max(A, 0)}{\sum \max(A, 0)}

    averaged over the findings that are present (label 1), whose region was drawn and is not empty,
    and whose map :math:`A` is positive somewhere; 0 when there is none. 0: all evidence lies
    inside; 1: all lies outside. How strong the evidence is does not matter.

    A cell of the (coarse) map belongs to the region as soon as a pixel of it does, so that a region
    smaller than a cell still counts.

    Attributes:
        parts: ``region``, detached, of the last call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, Tensor] = {}

    def forward(
        self,
        student_activation: Tensor,
        *,
        label: Tensor,
        region_mask: Tensor,
        region_annotated: Tensor,
        **unused: Tensor,
    ) -> Tensor:
        """Return the mean share, a scalar in [0, 1], float32.

        Args:
            student_activation: class-activation maps, ``(B, C, h, w)``.
            label: 0, 1 or NaN (unknown), ``(B, C)``.
            region_mask: the expert's regions, 0 or 1, ``(B, C, H, W)``, any size.
            region_annotated: whether an expert drew regions at all, bool, ``(B, C)``.
            unused: other answers of the networks, not looked at.

        Raises:
            ValueError: if batch or findings differ.
        """
        findings = student_activation.shape[:2]
        check_same_shape(
            "RegionGuidanceLoss",
            # Values do not matter: images and findings of the four must be the same.
            student_activation=student_activation.new_empty(findings),
            label=label,
            region_mask=region_mask.new_empty(region_mask.shape[:2]),
            region_annotated=region_annotated,
            hint="Give the masks one channel per finding.",
        )
        positive = student_activation.float().relu()
        region = F.adaptive_max_pool2d(region_mask.detach().float(), positive.shape[2:]) > 0
        total = positive.sum(dim=(2, 3))
        outside = torch.where(region, 0, positive).sum(dim=(2, 3))
        used = (label == 1) & region_annotated.bool() & region.any(dim=(2, 3)) & (total > 0)
        share = torch.where(used, outside, 0) / torch.where(used, total, 1)
        loss = share.sum() / used.sum().clamp(min=1)
        self.parts = {"region": loss.detach()}
        return loss
