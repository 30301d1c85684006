# SPDX-License-Identifier: Apache-2.0
"""Two ways to learn from unlabeled films without projections, to compare DISTL with.

Sources: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017,
https://arxiv.org/abs/1703.01780; Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with
Consistency and Confidence", NeurIPS 2020, https://arxiv.org/abs/2001.07685. FixMatch for
independent findings (sigmoid) is ours: each finding of a film is an item of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.classification import ACTIVATIONS
from monai_kd.losses.pseudo_labels import cross_entropy, pseudo_label_health, to_prob
from monai_kd.utils import check_choice, check_same_shape

__all__ = ["ConsistencyLoss"]


class ConsistencyLoss(nn.Module):
    """The student says of a noised film what was said of the untouched one.

    - ``"mean_teacher"``: the mean squared difference between the student's probabilities of the
      noised view and the teacher's of the original.
    - ``"fixmatch"``: cross-entropy of the student's noised view with its own decision about the
      original view, where that is sure; what is not sure costs nothing, and the mean is over all.

    Args:
        activation: ``"sigmoid"``, findings independent of each other, or ``"softmax"``.
        kind: ``"mean_teacher"`` or ``"fixmatch"``.
        threshold: probability of a decision (for sigmoid that of yes or of no) from which
            ``"fixmatch"`` takes it for sure, in [0, 1]; 0 takes every decision.

    Attributes:
        pseudo_label_weight: factor of the loss, at least 0; 1 until a schedule sets it.
        parts: ``consistency``, before weighting, detached, of the last call.
        health: ``pseudo_positive``, ``pseudo_probability`` and ``agreement``, as in
            :class:`~monai_kd.losses.DISTLLoss`; for ``"fixmatch"`` also ``sure``, share of
            decisions that were.

    Raises:
        ValueError: if a setting is out of range.
    """

    def __init__(
        self, activation: str = "sigmoid", *, kind: str = "mean_teacher", threshold: float = 0.95
    ) -> None:
        super().__init__()
        check_choice("ConsistencyLoss", "activation", activation, ACTIVATIONS)
        check_choice("ConsistencyLoss", "kind", kind, ("mean_teacher", "fixmatch"))
        if not 0 <= threshold <= 1:
            raise ValueError(
                f"ConsistencyLoss: `threshold` must be in [0, 1], got {threshold}. It is a "
                "probability."
            )
        self.activation = activation
        self.kind = kind
        self.threshold = threshold
        self.pseudo_label_weight = 1.0
        self.parts: dict[str, Tensor] = {}
        self.health: dict[str, Tensor] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether the next call looks at ``teacher_logits_original``."""
        return self.kind == "mean_teacher"

    @property
    def needs_student_original(self) -> bool:
        """Whether the next call looks at ``student_logits_original``."""
        return self.kind == "fixmatch"

    @property
    def needs_projection(self) -> bool:
        """Whether the next call looks at projections: never."""
        return False

    @property
    def pseudo_label_weight(self) -> float:
        """Factor of the loss, at least 0."""
        return self._pseudo_label_weight

    @pseudo_label_weight.setter
    def pseudo_label_weight(self, value: float) -> None:
        if not value >= 0:
            raise ValueError(
                f"ConsistencyLoss: `pseudo_label_weight` must be at least 0, got {value}. 0 leaves "
                "the loss out."
            )
        self._pseudo_label_weight = value

    def forward(
        self,
        *,
        student_logits_noised: Tensor,
        student_logits_original: Tensor | None = None,
        teacher_logits_original: Tensor | None = None,
        **unused: Tensor,
    ) -> Tensor:
        """Return the loss, a scalar in float32. Only ``student_logits_noised`` gets a gradient.

        Args:
            student_logits_noised: ``(B, C)``.
            student_logits_original: ``(B, C)``; needed by ``"fixmatch"``.
            teacher_logits_original: ``(B, C)``; needed by ``"mean_teacher"``.
            unused: other answers of the networks and labels, not looked at.

        Raises:
            ValueError: if the logits of the original view are missing, or shapes differ.
        """
        if self.kind == "mean_teacher":
            name, original = "teacher_logits_original", teacher_logits_original
        else:
            name, original = "student_logits_original", student_logits_original
        if original is None:
            raise ValueError(
                f"ConsistencyLoss: `{name}` must be given for {self.kind!r}, got None. Let the "
                f"{name.partition('_')[0]} answer about the original view, too."
            )
        check_same_shape(
            "ConsistencyLoss",
            student_logits_noised=student_logits_noised,
            **{name: original},
            hint="Build teacher and student for the same findings.",
        )
        prob = to_prob(original.detach(), self.activation)
        self.health = pseudo_label_health(prob, student_logits_noised, self.activation)
        if self.kind == "mean_teacher":
            student = to_prob(student_logits_noised, self.activation)
            loss = (student - prob).square().mean()
        else:
            loss = self._fixmatch(student_logits_noised, prob)
        self.parts = {"consistency": loss.detach()}
        return self.pseudo_label_weight * loss

    def _fixmatch(self, logits: Tensor, prob: Tensor) -> Tensor:
        if self.activation == "softmax":
            most, choice = prob.max(dim=1)
            decision = F.one_hot(choice, prob.shape[1]).to(prob)
        else:
            most, decision = torch.maximum(prob, 1 - prob), (prob > 0.5).to(prob)
        sure = most >= self.threshold
        self.health["sure"] = sure.to(torch.float32).mean()
        return torch.where(sure, cross_entropy(logits, decision, self.activation), 0).mean()
