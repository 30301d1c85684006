# SPDX-License-Identifier: Apache-2.0
"""DISTL: learn from unlabeled films by self-supervision and by the teacher's pseudo labels.

Source: Park et al., "Self-evolving vision transformer for chest X-ray diagnosis through knowledge
distillation", Nature Communications 13:3848, 2022, https://doi.org/10.1038/s41467-022-31514-x.
Weights and their schedule are those of the authors' public code. The form for exclusive findings
(softmax) is ours.
"""

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.classification import ACTIVATIONS, ClassificationLoss
from monai_kd.losses.dino import DINOLoss
from monai_kd.losses.pseudo_labels import cross_entropy, pseudo_label_health, to_prob
from monai_kd.utils import check_choice, check_same_shape

__all__ = ["DISTLCorrectionLoss", "DISTLLoss", "alpha_at"]


def alpha_at(epoch: int, *, epochs: int) -> float:
    r"""Return the weight of the pseudo labels in an epoch: linearly up to 2.

    .. math:: \alpha_e = 2 (e + 1) / E

    Args:
        epoch: :math:`e`, counted from 0.
        epochs: :math:`E`, epochs of the round.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> [alpha_at(epoch, epochs=5) for epoch in range(5)]
        [0.4, 0.8, 1.2, 1.6, 2.0]
    """
    if epochs < 1 or epoch < 0:
        raise ValueError(
            f"alpha_at: `epoch` must be at least 0 and `epochs` at least 1, got {epoch} and "
            f"{epochs}. Epochs are counted from 0."
        )
    return 2 * (epoch + 1) / epochs


class DISTLLoss(nn.Module):
    r"""Self-supervision over all views, and the teacher's opinion of the film as a soft label.

    .. math::
        L = \lambda \, L_\text{DINO}
            + (1 - \lambda) \, \alpha \, \mathrm{CE}(z_s^\text{noised}, p_t^\text{original})

    The teacher judges the untouched film, the student its noised view. When self-supervision ends
    (``self_supervision_weight`` 0), :math:`L = \alpha \, \mathrm{CE}`. Labels are not looked at.

    Args:
        activation: ``"sigmoid"``, findings independent of each other, or ``"softmax"``.
        self_supervision: :math:`L_\text{DINO}` with its center; may be shared with other losses.
        lam: :math:`\lambda`, in [0, 1]; 0 is self-training alone, 1 self-supervision alone.

    Attributes:
        pseudo_label_weight: :math:`\alpha`, at least 0; 1 until a schedule sets it, the published
            one is :func:`alpha_at`.
        self_supervision_weight: in [0, 1], multiplies :math:`\lambda`; 1 until a schedule sets it.
        parts: ``self_supervision`` and ``self_training``, where they were computed, before
            weighting, detached, of the last call.
        health: see :class:`~monai_kd.losses.DINOLoss`; and, where pseudo labels count,
            ``pseudo_positive`` ``(C,)``, share of films that the teacher calls positive (its first
            choice, for softmax), ``pseudo_probability`` ``(C,)``, its mean probability, and
            ``agreement``, share of equal decisions of teacher (original) and student (noised).

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self, activation: str = "sigmoid", *, self_supervision: DINOLoss, lam: float = 0.5
    ) -> None:
        super().__init__()
        check_choice("DISTLLoss", "activation", activation, ACTIVATIONS)
        _check_share("DISTLLoss", "lam", lam)
        self.activation = activation
        self.self_supervision = self_supervision
        self.lam = lam
        self.pseudo_label_weight = 1.0
        self.self_supervision_weight = 1.0
        self.parts: dict[str, Tensor] = {}
        self.health: dict[str, Tensor] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether the next call looks at the teacher: always."""
        return True

    @property
    def needs_projection(self) -> bool:
        """Whether the next call looks at projections and prototypes, and so at local views."""
        return self._share > 0

    @property
    def pseudo_label_weight(self) -> float:
        """Weight of the pseudo labels, at least 0."""
        return self._pseudo_label_weight

    @pseudo_label_weight.setter
    def pseudo_label_weight(self, value: float) -> None:
        if not value >= 0:
            raise ValueError(
                f"DISTLLoss: `pseudo_label_weight` must be at least 0, got {value}. 0 leaves the "
                "pseudo labels out."
            )
        self._pseudo_label_weight = value

    @property
    def self_supervision_weight(self) -> float:
        """What is left of self-supervision, in [0, 1]."""
        return self._self_supervision_weight

    @self_supervision_weight.setter
    def self_supervision_weight(self, value: float) -> None:
        _check_share("DISTLLoss", "self_supervision_weight", value)
        self._self_supervision_weight = value

    @property
    def _share(self) -> float:
        return self.lam * self.self_supervision_weight

    def forward(
        self,
        *,
        student_projection: Tensor | None = None,
        student_prototypes: Tensor | None = None,
        teacher_projection: Tensor | None = None,
        teacher_prototypes: Tensor | None = None,
        student_logits_noised: Tensor | None = None,
        teacher_logits_original: Tensor | None = None,
        **unused: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar in float32. Nothing of the teacher receives a gradient.

        Args:
            student_projection: see :class:`~monai_kd.losses.DINOLoss`; this and the next three may
                be None while ``needs_projection`` is False.
            student_prototypes: the student's prototypes.
            teacher_projection: the teacher's projections.
            teacher_prototypes: the teacher's prototypes.
            student_logits_noised: of the noised view, ``(B, C)``; this and the next may be None
                while ``lam`` is 1.
            teacher_logits_original: of the untouched film, ``(B, C)``.
            unused: other answers of the networks and labels, not looked at.

        Raises:
            ValueError: if something that is needed is missing, or shapes differ.
        """
        share = self._share
        self.parts, self.health, total = {}, {}, []
        if share > 0:
            dino = _self_supervision(
                self,
                student_projection=student_projection,
                student_prototypes=student_prototypes,
                teacher_projection=teacher_projection,
                teacher_prototypes=teacher_prototypes,
            )
            total.append(share * dino)
        if share < 1:
            given = _given(
                "DISTLLoss",
                student_logits_noised=student_logits_noised,
                teacher_logits_original=teacher_logits_original,
            )
            training = self._self_training(*given.values())
            self.parts["self_training"] = training.detach()
            total.append((1 - share) * self.pseudo_label_weight * training)
        return total[0] if len(total) == 1 else total[0] + total[1]

    def _self_training(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        check_same_shape(
            "DISTLLoss",
            student_logits_noised=student_logits,
            teacher_logits_original=teacher_logits,
            hint="Build teacher and student for the same findings.",
        )
        prob = to_prob(teacher_logits.detach(), self.activation)
        self.health |= pseudo_label_health(prob, student_logits, self.activation)
        return cross_entropy(student_logits, prob, self.activation).mean()


class DISTLCorrectionLoss(nn.Module):
    r"""Self-supervision over all views of a labeled film, and its true label.

    .. math:: L = \lambda \, L_\text{DINO} + (1 - \lambda) \, \mathrm{CE}(z_s^\text{noised}, y)

    With :math:`\lambda = 0` this is plain supervised learning on the noised view.

    Args:
        activation: ``"sigmoid"`` or ``"softmax"``, as in
            :class:`~monai_kd.losses.ClassificationLoss`.
        self_supervision: :math:`L_\text{DINO}`; the one of :class:`DISTLLoss`, whose center
            moves here as well.
        lam: :math:`\lambda`, in [0, 1]; 0 needs no teacher, 1 no label.

    Attributes:
        parts: ``self_supervision`` and ``classification``, where they were computed, before
            weighting, detached, of the last call.
        health: see :class:`~monai_kd.losses.DINOLoss`; empty while ``lam`` is 0.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self, activation: str = "sigmoid", *, self_supervision: DINOLoss, lam: float = 0.5
    ) -> None:
        super().__init__()
        _check_share("DISTLCorrectionLoss", "lam", lam)
        self.classification = ClassificationLoss(activation)
        self.self_supervision = self_supervision
        self.lam = lam
        self.parts: dict[str, Tensor] = {}
        self.health: dict[str, Tensor] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether the next call looks at the teacher."""
        return self.lam > 0

    @property
    def needs_projection(self) -> bool:
        """Whether the next call looks at projections and prototypes, and so at local views."""
        return self.lam > 0

    def forward(
        self,
        *,
        student_projection: Tensor | None = None,
        student_prototypes: Tensor | None = None,
        teacher_projection: Tensor | None = None,
        teacher_prototypes: Tensor | None = None,
        student_logits_noised: Tensor | None = None,
        label: Tensor | None = None,
        **unused: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar in float32. Nothing of the teacher receives a gradient.

        Args:
            student_projection: see :class:`~monai_kd.losses.DINOLoss`; this and the next three may
                be None while ``lam`` is 0.
            student_prototypes: the student's prototypes.
            teacher_projection: the teacher's projections.
            teacher_prototypes: the teacher's prototypes.
            student_logits_noised: of the noised view, ``(B, C)``; this and the next may be None
                while ``lam`` is 1.
            label: 0, 1 or NaN (unknown), ``(B, C)``; one-hot rows for softmax.
            unused: other answers of the networks, not looked at.

        Raises:
            ValueError: if something that is needed is missing, or shapes differ.
        """
        self.parts, self.health, total = {}, {}, []
        if self.lam > 0:
            dino = _self_supervision(
                self,
                student_projection=student_projection,
                student_prototypes=student_prototypes,
                teacher_projection=teacher_projection,
                teacher_prototypes=teacher_prototypes,
            )
            total.append(self.lam * dino)
        if self.lam < 1:
            given = _given(
                "DISTLCorrectionLoss", student_logits_noised=student_logits_noised, label=label
            )
            hard: Tensor = self.classification(given["student_logits_noised"], label=given["label"])
            self.parts |= self.classification.parts
            total.append((1 - self.lam) * hard)
        return total[0] if len(total) == 1 else total[0] + total[1]


def _self_supervision(loss: DISTLLoss | DISTLCorrectionLoss, **tensors: Tensor | None) -> Tensor:
    dino: Tensor = loss.self_supervision(**_given(type(loss).__name__, **tensors))
    loss.parts |= loss.self_supervision.parts
    loss.health |= loss.self_supervision.health
    return dino


def _given(caller: str, **tensors: Tensor | None) -> dict[str, Tensor]:
    """Return the tensors, none of which may be missing."""
    missing = [name for name, tensor in tensors.items() if tensor is None]
    if missing:
        raise ValueError(
            f"{caller}: `{missing[0]}` must be given with this `lam`, got None. Let the networks "
            "answer about all views, with projections while `needs_projection` is True."
        )
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _check_share(caller: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(
            f"{caller}: `{name}` must be in [0, 1], got {value}. It is a share of the loss."
        )
