# SPDX-License-Identifier: Apache-2.0
"""Distillation from softened logits, the baseline of all distillation.

Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
https://arxiv.org/abs/1503.02531. The paper names no single temperature or weight; the defaults are
those most often used since. The form for independent findings (sigmoid) is ours.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.classification import ACTIVATIONS, ClassificationLoss
from monai_kd.utils import check_choice, check_same_shape

__all__ = ["SoftTargetLoss"]


class SoftTargetLoss(nn.Module):
    r"""Match the teacher's softened probabilities, and the labels where they are known.

    .. math::
        L = w \, T^2 \, \mathrm{KL}(\mathrm{softmax}(z_t / T) \,\|\, \mathrm{softmax}(z_s / T))
            + (1 - w) \, \mathrm{CE}(z_s, y)

    :math:`T^2` keeps the size of the gradient as the temperature changes. With independent
    findings, binary cross-entropy between the tempered sigmoids stands for KL. Images without a
    label learn from the teacher alone.

    Args:
        activation: ``"softmax"`` or ``"sigmoid"``, as in
            :class:`~monai_kd.losses.ClassificationLoss`.
        temperature: :math:`T`, above 0; 1 leaves the probabilities as they are, more makes the
            small ones count.
        soft_weight: :math:`w`, in [0, 1]; 0 is plain cross-entropy and needs no teacher, 1 needs
            no label.

    Attributes:
        parts: ``soft`` and ``classification``, before weighting, detached, of the last call.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self, *, activation: str = "softmax", temperature: float = 4.0, soft_weight: float = 0.9
    ) -> None:
        super().__init__()
        check_choice("SoftTargetLoss", "activation", activation, ACTIVATIONS)
        if not temperature > 0:
            raise ValueError(f"SoftTargetLoss: `temperature` must be above 0, got {temperature}.")
        if not 0 <= soft_weight <= 1:
            raise ValueError(f"SoftTargetLoss: `soft_weight` must be in [0, 1], got {soft_weight}.")
        self.classification = ClassificationLoss(activation)
        self.temperature = temperature
        self.soft_weight = soft_weight
        self.parts: dict[str, Tensor] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether the next call looks at ``teacher_logits``."""
        return self.soft_weight > 0

    def forward(
        self,
        student_logits: Tensor,
        *,
        label: Tensor,
        teacher_logits: Tensor | None = None,
        **unused: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar in float32. Only ``student_logits`` receives a gradient.

        Args:
            student_logits: ``(B, C)``.
            label: 0, 1 or NaN (unknown), ``(B, C)``; one-hot rows for softmax.
            teacher_logits: ``(B, C)``; may be None while ``soft_weight`` is 0.
            unused: other answers of the networks, not looked at.

        Raises:
            ValueError: if shapes differ, or the teacher's logits are missing.
        """
        loss: Tensor = self.classification(student_logits, label=label)
        self.parts = dict(self.classification.parts)
        if not self.needs_teacher:
            return loss
        if teacher_logits is None:
            raise ValueError(
                "SoftTargetLoss: `teacher_logits` must be given while `soft_weight` is above 0, "
                "got None. Give the trainer a teacher."
            )
        soft = self._soft(student_logits, teacher_logits)
        self.parts["soft"] = soft.detach()
        return self.soft_weight * soft + (1 - self.soft_weight) * loss

    def _soft(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        check_same_shape(
            "SoftTargetLoss",
            student_logits=student_logits,
            teacher_logits=teacher_logits,
            hint="Build teacher and student for the same findings.",
        )
        student = student_logits.float() / self.temperature
        teacher = teacher_logits.detach().float() / self.temperature
        if self.classification.activation == "sigmoid":
            soft = F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
        else:
            soft = F.kl_div(
                F.log_softmax(student, dim=1),
                F.log_softmax(teacher, dim=1),
                reduction="batchmean",
                log_target=True,
            )
        scaled: Tensor = self.temperature**2 * soft
        return scaled
