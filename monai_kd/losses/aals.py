# SPDX-License-Identifier: Apache-2.0
"""Adaptive asymmetric label sharpening (AALS): find regions when only the image is labeled.

Source: Wang et al., "Knowledge Distillation with Adaptive Asymmetric Label Sharpening for
Semi-supervised Fracture Detection in Chest X-rays", IPMI 2021, https://arxiv.org/abs/2012.15359
The paper gives the formula and the center (0.4); the default strength, the weights of the parts and
what happens to unknown labels are ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.map_roles import map_roles, region_targets
from monai_kd.utils import check_choice, check_same_shape
from monai_kd.utils.distributed import mean_over_processes

__all__ = ["SHARPENINGS", "AALSLoss", "sharpen_labels"]

SHARPENINGS = ("aals", "none", "symmetric", "constant", "hard")
_EPS = 1e-6


def sharpen_labels(
    prob: Tensor, *, strength: float = 4.0, center: float = 0.4, sharpening: str = "aals"
) -> Tensor:
    r"""Raise the timid positives of a teacher; leave the rest as the teacher said it.

    .. math::
        S(p) &= \max(p,\, \sigma(a \operatorname{logit} p + (1 - a) \operatorname{logit} t)) \\
        a &= a_0 - (a_0 - 1) \max_{\text{pixels}} p

    Args:
        prob: teacher's probabilities, ``(B, C, *spatial)``, in [0, 1].
        strength: :math:`a_0`, at least 1; 1 changes nothing. Above 8.4 (for center 0.4) a surer
            teacher can get a lower target.
        center: :math:`t`, in (0, 1). Probabilities above it rise, all others stay; a map that
            peaks below it is not changed.
        sharpening: ``"aals"``; or, for comparison, ``"none"`` (plain mean teacher),
            ``"symmetric"`` (without the maximum: what is below the center falls), ``"constant"``
            (:math:`a = a_0` whatever the peak), ``"hard"`` (1 above the center, else 0).

    Returns:
        Pseudo labels, ``(B, C, *spatial)``, float32; for ``"aals"`` nowhere below ``prob``.

    Raises:
        ValueError: if a setting is out of range.

    Example:
        >>> sharpen_labels(torch.tensor([[[0.2, 0.5]]]))
        tensor([[[0.2000, 0.6475]]])
    """
    _check_sharpening("sharpen_labels", strength, center, sharpening)
    prob = prob.float()
    if sharpening == "none":
        return prob
    if sharpening == "hard":
        return (prob > center).to(prob)
    a: float | Tensor = strength
    if sharpening != "constant":
        peak = prob.amax(dim=tuple(range(2, prob.ndim)), keepdim=True)  # (B, C, 1, ...)
        a = strength - (strength - 1) * peak  # a sure teacher (peak 1) is left alone (a = 1)
    center_logit = math.log(center / (1 - center))
    sharpened = torch.sigmoid(a * torch.logit(prob, eps=_EPS) + (1 - a) * center_logit)
    if sharpening == "symmetric":
        return sharpened
    # Below the center the maximum is `prob` by the formula, but clipping lifts what is below _EPS.
    return torch.where(prob > center, torch.maximum(prob, sharpened), prob)


class AALSLoss(nn.Module):
    r"""Binary cross-entropy between the student's maps and the best that is known of each.

    Film by film and finding by finding, see :func:`~monai_kd.losses.map_roles`:

    - an expert drew the finding: the region;
    - the finding is absent (label 0): zeros;
    - the finding is present (label 1) and nobody drew it: the teacher's map, sharpened;
    - nobody knows: left out.

    .. math::
        L = L_\text{sup} + w L_\text{kd}

    The first is the mean over all cells of the first two kinds, the second over those of the
    third. Between processes both are one mean, so that several train as one would.

    Args:
        sharpening: see :func:`sharpen_labels`.
        strength: see :func:`sharpen_labels`.
        center: see :func:`sharpen_labels`.
        distillation_weight: :math:`w`, at least 0; 0 is supervised training, without a teacher.
        positive_weight: factor of the cells inside drawn regions, above 0; 1 as published.

    Attributes:
        parts: ``supervised`` and ``distillation``, before weighting, detached, of the last call.
        health: what :class:`monai_kd.handlers.PseudoLabelHealth` reads, see there.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self,
        *,
        sharpening: str = "aals",
        strength: float = 4.0,
        center: float = 0.4,
        distillation_weight: float = 1.0,
        positive_weight: float = 1.0,
    ) -> None:
        super().__init__()
        _check_sharpening("AALSLoss", strength, center, sharpening)
        if not distillation_weight >= 0:
            raise ValueError(
                f"AALSLoss: `distillation_weight` must be at least 0, got {distillation_weight}. 0 "
                "trains without a teacher."
            )
        if not positive_weight > 0:
            raise ValueError(
                f"AALSLoss: `positive_weight` must be above 0, got {positive_weight}. 1 weighs "
                "all cells alike."
            )
        self.sharpening, self.strength, self.center = sharpening, strength, center
        self.distillation_weight = distillation_weight
        self.positive_weight = positive_weight
        self.parts: dict[str, Tensor] = {}
        self.health: dict[str, Tensor] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether the next call looks at ``teacher_map_logits``."""
        return self.distillation_weight > 0

    def forward(
        self,
        *,
        student_map_logits: Tensor,
        label: Tensor,
        region_mask: Tensor,
        region_annotated: Tensor,
        region_drawn: Tensor,
        teacher_map_logits: Tensor | None = None,
        hidden_region_mask: Tensor | None = None,
        hidden_region_annotated: Tensor | None = None,
        **unused: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar in float32. Only ``student_map_logits`` gets a gradient.

        Args:
            student_map_logits: ``(B, C, h, w)``.
            label: 0, 1 or NaN (unknown), ``(B, C)``.
            region_mask: the expert's regions, 0 or 1, ``(B, C, H, W)``.
            region_annotated: whether an expert looked for regions, bool, ``(B, C)``.
            region_drawn: whether the finding was drawn, bool, ``(B, C)``; where its region has left
                the picture, the target is 0.
            teacher_map_logits: shape of the student's; looked at where a present finding is not
                drawn. May be None where there is none, or while ``distillation_weight`` is 0.
            hidden_region_mask: regions that training must not see, ``(B, C, H, W)``; only
                ``health`` looks at them.
            hidden_region_annotated: whether there are any, bool, ``(B, C)``.
            unused: other answers of the networks, not looked at.

        Raises:
            ValueError: if shapes differ, or the teacher's maps are missing.
        """
        roles = map_roles(label, region_drawn, region_annotated)
        target = region_targets(region_mask, student_map_logits.shape[2:])
        check_same_shape(
            "AALSLoss",
            student_map_logits=student_map_logits,
            region_mask=target,
            hint="Give `region_mask` one channel per finding, and the network as many maps.",
        )
        logits = student_map_logits.float()
        target = target * roles.drawn[:, :, None, None]  # a region of an absent finding is none
        weight = 1 + (self.positive_weight - 1) * target
        cells = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none")
        loss = _mean_of_maps(cells, roles.drawn | roles.absent)
        self.parts, self.health = {"supervised": loss.detach()}, {}
        if not self.needs_teacher:
            return loss
        pseudo_label = self._pseudo_label(teacher_map_logits, logits, roles.pseudo)
        if hidden_region_mask is not None and hidden_region_annotated is not None:
            inside = region_targets(hidden_region_mask, logits.shape[2:])
            self._compare(pseudo_label, inside, roles.pseudo & hidden_region_annotated.bool())
        cells = F.binary_cross_entropy_with_logits(logits, pseudo_label, reduction="none")
        distillation = _mean_of_maps(cells, roles.pseudo)
        self.parts["distillation"] = distillation.detach()
        return loss + self.distillation_weight * distillation

    @torch.no_grad()
    def _pseudo_label(self, teacher: Tensor | None, logits: Tensor, pseudo: Tensor) -> Tensor:
        """The teacher's maps, sharpened; only those of ``pseudo`` are looked at."""
        if teacher is None:
            if pseudo.any():
                raise ValueError(
                    "AALSLoss: `teacher_map_logits` must be given where a present finding is not "
                    "drawn, got None. Give the trainer a teacher."
                )
            teacher = torch.zeros_like(logits)  # the mean below is one of all processes
        check_same_shape(
            "AALSLoss",
            student_map_logits=logits,
            teacher_map_logits=teacher,
            hint="Build teacher and student alike.",
        )
        prob = teacher.float().sigmoid()
        pseudo_label = sharpen_labels(
            prob, strength=self.strength, center=self.center, sharpening=self.sharpening
        )
        self._note(prob, pseudo_label, pseudo)
        return pseudo_label

    @torch.no_grad()
    def _note(self, prob: Tensor, pseudo_label: Tensor, pseudo: Tensor) -> None:
        """Sums over the maps that the teacher fills in, one per finding, for the health monitor."""
        maps = pseudo.float()
        peak = prob.amax((2, 3))
        self.health = {
            "pseudo_maps": maps.sum(0),
            "above_center": ((peak > self.center) * maps).sum(0),
            "peak": (peak * maps).sum(0),
            "teacher_mass": (prob.mean((2, 3)) * maps).sum(0),
            "sharpened_mass": ((pseudo_label - prob).mean((2, 3)) * maps).sum(0),
        }

    @torch.no_grad()
    def _compare(self, pseudo_label: Tensor, inside: Tensor, known: Tensor) -> None:
        """How much of what the pseudo labels call a finding lies in regions nobody showed them."""
        seen = known & inside.flatten(2).any(2)  # a region may have left the picture
        called = pseudo_label * (pseudo_label > self.center) * seen[:, :, None, None]
        self.health |= {
            "called_mass": called.mean((2, 3)).sum(0),
            "called_mass_inside": (called * inside).mean((2, 3)).sum(0),
        }


def _mean_of_maps(cells: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the cells of the chosen maps over all processes; 0, with a gradient, if none is."""
    cells_per_map = cells.shape[2] * cells.shape[3]
    total = torch.where(chosen[:, :, None, None], cells, 0).sum()
    return mean_over_processes(total, chosen.sum() * cells_per_map)


def _check_sharpening(who: str, strength: float, center: float, sharpening: str) -> None:
    check_choice(who, "sharpening", sharpening, SHARPENINGS)
    if not strength >= 1:
        raise ValueError(
            f"{who}: `strength` must be at least 1, got {strength}. Below 1 it would blur; 1 "
            "changes nothing."
        )
    if not 0 < center < 1:
        raise ValueError(f"{who}: `center` must be in (0, 1), got {center}. The paper uses 0.4.")
