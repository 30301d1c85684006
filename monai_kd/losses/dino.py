# SPDX-License-Identifier: Apache-2.0
"""DINO: views of one film choose the same prototypes, and the teacher says which.

Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021,
https://arxiv.org/abs/2104.14294. Temperatures are those of DISTL's public code.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from monai_kd.losses.dino_logits import LossFromLogits, TeacherLogits
from monai_kd.losses.dino_projections import LossFromProjections, TeacherProjections

__all__ = ["DINOLoss", "dino_loss"]


def dino_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    center: Tensor,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Tensor:
    r"""Return the mean cross-entropy over all pairs of a teacher view and another student view.

    .. math::
        L = \frac{1}{2V - 2} \sum_{i \in \{0, 1\}} \sum_{v \ne i}
            -\mathrm{softmax}((t_i - c) / \tau_t) \cdot \log \mathrm{softmax}(s_v / \tau_s)

    averaged over films. Rows are crop-major: all films of view 0, then of view 1, and so on. The
    gradient is computed in closed form, a few films at a time.

    Args:
        student_logits: ``(V * B, K)``, V at least 2.
        teacher_logits: of views 0 and 1, ``(2 * B, K)``; receives no gradient.
        center: :math:`c`, ``(K,)``; zeros for none.
        student_temperature: :math:`\tau_s`, above 0.
        teacher_temperature: :math:`\tau_t`, above 0; the smaller, the sharper its choice.

    Returns:
        A scalar, at least float32.

    Raises:
        ValueError: if a temperature is not above 0, or shapes do not fit.
    """
    _check_temperatures("dino_loss", student_temperature, teacher_temperature)
    _check_rows("dino_loss", "logits", student_logits, teacher_logits)
    if center.shape != student_logits.shape[1:]:
        raise ValueError(
            f"dino_loss: `center` must have one number per prototype, {student_logits.shape[1]}, "
            f"got shape {tuple(center.shape)}. Give zeros for no center."
        )
    loss: Tensor = LossFromLogits.apply(  # type: ignore[no-untyped-call]
        student_logits,
        TeacherLogits(teacher_logits.detach(), center.detach(), teacher_temperature),
        student_temperature,
    )
    return loss


class DINOLoss(nn.Module):
    """The DINO loss from projections and prototypes, with 32 MiB of logits held at most.

    Equal to :func:`dino_loss` of ``projection @ prototypes.T``, with its gradients; a batch whose
    logits take more is computed in parts, a film at a time if need be. The center
    follows the teacher's mean logits over all processes, after each call in training mode.

    Args:
        prototypes: K.
        student_temperature: divides the student's logits, above 0.
        teacher_temperature: divides the teacher's centered logits, above 0.
        center_momentum: share of the center that stays, in [0, 1].
        centering: whether a center is subtracted at all; without, it stays 0.

    Attributes:
        center: running mean of the teacher's logits, ``(K,)``, a buffer.
        parts: ``self_supervision``, detached, of the last call.
        health: detached, of the last call: ``teacher_entropy``, mean entropy of the teacher's
            choices in nats; ``teacher_marginal`` ``(K,)``, their mean; ``center_norm``, of the
            center that was subtracted; ``features``, the teacher's projections ``(2 * B, D)``.

    Raises:
        ValueError: if a setting is out of range.
    """

    center: Tensor

    def __init__(
        self,
        prototypes: int = 65536,
        *,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        center_momentum: float = 0.9,
        centering: bool = True,
    ) -> None:
        super().__init__()
        _check_temperatures("DINOLoss", student_temperature, teacher_temperature)
        if prototypes < 1:
            raise ValueError(f"DINOLoss: `prototypes` must be at least 1, got {prototypes}.")
        if not 0 <= center_momentum <= 1:
            raise ValueError(
                f"DINOLoss: `center_momentum` must be in [0, 1], got {center_momentum}. It is the "
                "share of the center that stays."
            )
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.center_momentum = center_momentum
        self.centering = centering
        self.register_buffer("center", torch.zeros(prototypes))
        self.parts: dict[str, Tensor] = {}
        self.health: dict[str, Tensor] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether the next call looks at the teacher: always."""
        return True

    @property
    def needs_projection(self) -> bool:
        """Whether the next call looks at projections and prototypes: always."""
        return True

    def reset(self) -> None:
        """Forget the center, as at the start of a round."""
        self.center.zero_()

    def forward(
        self,
        *,
        student_projection: Tensor,
        student_prototypes: Tensor,
        teacher_projection: Tensor,
        teacher_prototypes: Tensor,
        **unused: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar in float32. Nothing of the teacher receives a gradient.

        Args:
            student_projection: of V views, the teacher's two first, ``(V * B, D)``, crop-major.
            student_prototypes: ``(K, D)``.
            teacher_projection: of the two global views, ``(2 * B, D)``, crop-major.
            teacher_prototypes: ``(K, D)``.
            unused: other answers of the networks, not looked at.

        Raises:
            ValueError: if shapes do not fit.
        """
        _check_rows("DINOLoss", "projection", student_projection, teacher_projection)
        self._check_prototypes(student_projection, student_prototypes, teacher_prototypes)
        features = teacher_projection.detach()
        loss, entropy, marginal, logits = LossFromProjections.apply(  # type: ignore[no-untyped-call]
            student_projection,
            student_prototypes,
            TeacherProjections(
                features,
                teacher_prototypes.detach(),
                self.center if self.centering else None,
                self.teacher_temperature,
            ),
            self.student_temperature,
        )
        self.parts = {"self_supervision": loss.detach()}
        self.health = {
            "teacher_entropy": entropy,
            "teacher_marginal": marginal,
            "center_norm": self.center.norm(),
            "features": features,
        }
        if self.training and self.centering:
            self._move_center(logits, len(features))
        plain: Tensor = loss
        return plain

    @torch.no_grad()
    def _move_center(self, mean_logits: Tensor, rows: int) -> None:
        """Follow the mean logits over all processes, each of which gives those of its rows."""
        if dist.is_available() and dist.is_initialized():
            count = mean_logits.new_full((1,), rows)  # filled on the device
            total = torch.cat([mean_logits * count, count])
            dist.all_reduce(total)
            mean_logits = total[:-1] / total[-1]
        mean = mean_logits.to(self.center)
        mean = torch.where(mean.isfinite(), mean, self.center)  # a batch that overflowed is skipped
        self.center.lerp_(mean, 1 - self.center_momentum)

    def _check_prototypes(self, projection: Tensor, student: Tensor, teacher: Tensor) -> None:
        expected = (len(self.center), projection.shape[1])
        for name, tensor in (("student_prototypes", student), ("teacher_prototypes", teacher)):
            if tensor.shape != expected:
                raise ValueError(
                    f"DINOLoss: `{name}` must have shape {expected}, got {tuple(tensor.shape)}. "
                    "Give the head and the loss the same number of `prototypes`."
                )


def _check_temperatures(caller: str, student: float, teacher: float) -> None:
    for name, value in (("student_temperature", student), ("teacher_temperature", teacher)):
        if not value > 0:
            raise ValueError(
                f"{caller}: `{name}` must be above 0, got {value}. It divides the logits."
            )


def _check_rows(caller: str, what: str, student: Tensor, teacher: Tensor) -> None:
    rows, columns = teacher.shape
    if rows < 2 or rows % 2:
        raise ValueError(
            f"{caller}: `teacher_{what}` must have one row per film for each of 2 views, got "
            f"{rows} rows. Ask the teacher about the original and the noised view."
        )
    if student.shape[1] != columns or len(student) < rows or len(student) % (rows // 2):
        raise ValueError(
            f"{caller}: `student_{what}` must have {columns} columns and {rows // 2} rows per view,"
            f" of at least 2 views, got {tuple(student.shape)}. Rows are ordered view by view."
        )
