# SPDX-License-Identifier: Apache-2.0
"""Human knowledge distillation (hkd): the student's features follow a teacher that sees regions.

Source: Schaudt et al., "Leveraging human expert image annotations to improve pneumonia
differentiation through human knowledge distillation", Scientific Reports 13:9203, 2023,
https://doi.org/10.1038/s41598-023-36148-7. Region guidance is ours, and off by default.
"""

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.classification import ClassificationLoss
from monai_kd.losses.region_guidance import RegionGuidanceLoss
from monai_kd.utils import check_same_shape

__all__ = ["HKDLoss", "feature_weight_at"]


def feature_weight_at(epoch: int, *, start: float = 0.5, kd_epochs: int = 40) -> float:
    r"""Return the weight of the features in an epoch: linearly down to 0, then 0.

    .. math:: \alpha_e = \alpha_0 (1 - e / E) \text{ for } e < E, \text{ else } 0

    Args:
        epoch: :math:`e`, counted from 0.
        start: :math:`\alpha_0`, in [0, 1].
        kd_epochs: :math:`E`, epochs with a teacher; 0 uses none.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> [feature_weight_at(epoch) for epoch in (0, 10, 20, 40)]
        [0.5, 0.375, 0.25, 0.0]
    """
    _check_weight("feature_weight_at", "start", start)
    if epoch < 0 or kd_epochs < 0:
        raise ValueError(
            f"feature_weight_at: `epoch` and `kd_epochs` must be at least 0, got {epoch} and "
            f"{kd_epochs}."
        )
    return start * (1 - epoch / kd_epochs) if epoch < kd_epochs else 0.0


class HKDLoss(nn.Module):
    r"""Mean squared error between feature maps, and cross-entropy with the label.

    .. math::
        L = \alpha \, \mathrm{MSE}(F_s, F_t) + (1 - \alpha) \, \mathrm{CE}(z_s, y) + \gamma \, R

    The teacher sees the image with only the expert's regions left, the student the whole image.
    The features are compared as they are, neither pooled nor normalized.

    Args:
        activation: ``"softmax"`` (the paper's) or ``"sigmoid"``, as in
            :class:`~monai_kd.losses.ClassificationLoss`.
        feature_weight: :math:`\alpha`, in [0, 1]; a schedule may set the attribute later, the
            paper's is :func:`feature_weight_at`. At 0 the teacher is not needed.
        region_weight: :math:`\gamma` of :class:`~monai_kd.losses.RegionGuidanceLoss`, at least 0;
            0 is the published method, and nothing is computed.

    Attributes:
        parts: ``classification``, and ``feature`` and ``region`` where they were computed, before
            weighting, detached, of the last call.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self,
        *,
        activation: str = "softmax",
        feature_weight: float = 0.5,
        region_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if region_weight < 0:
            raise ValueError(f"HKDLoss: `region_weight` must be at least 0, got {region_weight}.")
        self.classification = ClassificationLoss(activation)
        self.region_guidance = RegionGuidanceLoss()
        self.feature_weight = feature_weight
        self.region_weight = region_weight
        self.parts: dict[str, Tensor] = {}

    @property
    def feature_weight(self) -> float:
        """Weight of the features, in [0, 1]; the label has the rest."""
        return self._feature_weight

    @feature_weight.setter
    def feature_weight(self, value: float) -> None:
        _check_weight("HKDLoss", "feature_weight", value)
        self._feature_weight = value

    @property
    def needs_teacher(self) -> bool:
        """Whether the next call looks at ``teacher_features``."""
        return self.feature_weight > 0

    def forward(
        self,
        student_logits: Tensor,
        *,
        label: Tensor,
        student_features: Tensor | None = None,
        teacher_features: Tensor | None = None,
        student_activation: Tensor | None = None,
        region_mask: Tensor | None = None,
        region_annotated: Tensor | None = None,
        **unused: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar in float32. Nothing of the teacher receives a gradient.

        Args:
            student_logits: ``(B, C)``.
            label: 0, 1 or NaN (unknown), ``(B, C)``; one-hot rows for softmax.
            student_features: last feature map, ``(B, D, h, w)``; may be None while
                ``feature_weight`` is 0.
            teacher_features: the teacher's, same shape; may be None as well then.
            student_activation: class-activation maps, ``(B, C, h, w)``; this and the next two
                may be None while ``region_weight`` is 0.
            region_mask: the expert's regions, 0 or 1, ``(B, C, H, W)``.
            region_annotated: whether an expert drew regions at all, bool, ``(B, C)``.
            unused: other answers of the networks, not looked at.

        Raises:
            ValueError: if something that is needed is missing, or shapes differ.
        """
        weight = self.feature_weight
        classification: Tensor = self.classification(student_logits, label=label)
        self.parts = {"classification": classification.detach()}
        loss = (1 - weight) * classification
        if weight > 0:
            feature = _feature_distance(
                **_given(
                    "feature_weight",
                    student_features=student_features,
                    teacher_features=teacher_features,
                )
            )
            self.parts["feature"] = feature.detach()
            loss = loss + weight * feature
        if self.region_weight > 0:
            region = self.region_guidance(
                label=label,
                **_given(
                    "region_weight",
                    student_activation=student_activation,
                    region_mask=region_mask,
                    region_annotated=region_annotated,
                ),
            )
            self.parts["region"] = region.detach()
            loss = loss + self.region_weight * region
        return loss


def _feature_distance(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    check_same_shape(
        "HKDLoss",
        student_features=student_features,
        teacher_features=teacher_features,
        hint="Teacher and student must be the same backbone and see images of the same size.",
    )
    return (student_features.float() - teacher_features.detach().float()).square().mean()


def _given(weight: str, **tensors: Tensor | None) -> dict[str, Tensor]:
    """Return the tensors, none of which may be missing while their weight is above 0."""
    missing = [name for name, tensor in tensors.items() if tensor is None]
    if missing:
        raise ValueError(
            f"HKDLoss: `{missing[0]}` must be given while `{weight}` is above 0, got None. Wrap "
            "teacher and student in `WithFeatures`, and name the masks in `target_keys`."
        )
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _check_weight(caller: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{caller}: `{name}` must be in [0, 1], got {value}.")
