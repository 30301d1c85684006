# SPDX-License-Identifier: Apache-2.0
"""Was a round worth it? The labeled validation films decide, with an interval, film by film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai_kd.metrics import (
    Difference,
    Predictions,
    json_number,
    match_predictions,
    score_difference,
    score_interval,
)

__all__ = ["GATE_SCORE", "GateDecision", "judge_round", "validation_score"]

GATE_SCORE = "macro_auroc"
"""The score that rounds are judged by."""


@dataclass(frozen=True)
class GateDecision:
    """What became of a round.

    Args:
        accepted: whether its model is kept.
        reason: why not, in words; empty when it is.
        difference: of the score, the round minus the model before it, with its 95% limits.
    """

    accepted: bool
    reason: str
    difference: Difference

    def for_json(self) -> dict[str, Any]:
        """Return the difference as plain numbers, None where the films cannot say."""
        names = ("value", "low", "high", "p_value")
        numbers = {
            name: json_number(value) for name, value in zip(names, self.difference, strict=True)
        }
        return {"score": GATE_SCORE, **numbers}


def judge_round(
    before: Predictions, after: Predictions, *, activation: str, tolerance: float = 0.05
) -> GateDecision:
    """Compare a round with the model that it started from, on the same labeled films.

    A round is rolled back when it is shown to be worse (the 95% interval of the paired difference
    ends below 0), or when it looks worse by more than ``tolerance``, which few films cannot show.

    Args:
        before: validation predictions of the model before the round.
        after: those of the model after it.
        activation: ``"softmax"`` or ``"sigmoid"``.
        tolerance: largest loss of macro AUROC that is put down to chance, in [0, 1].

    Raises:
        ValueError: if ``tolerance`` is out of range.
        MonaiKDError: if the films are not the same.
    """
    if not 0 <= tolerance <= 1:
        raise ValueError(
            f"judge_round: `tolerance` must be in [0, 1], got {tolerance}. It is a loss of AUROC "
            "that is put down to chance, such as 0.05."
        )
    ours, theirs = match_predictions(after, before)
    difference = score_difference(
        GATE_SCORE,
        ours.prob,
        theirs.prob,
        ours.label,
        activation=activation,
        patient_id=ours.patient_id,
    )
    value, low, high, _ = difference
    span = (
        f"macro AUROC {value:+.3f} on {len(ours)} validation films "
        f"(95% CI {low:+.3f} to {high:+.3f})"
    )
    if high < 0:
        return GateDecision(False, f"shown to be worse: {span}", difference)
    if value < -tolerance:
        return GateDecision(False, f"worse by more than {tolerance:g}: {span}", difference)
    return GateDecision(True, "", difference)


def validation_score(table: Predictions, *, activation: str) -> list[float] | None:
    """Return ``[value, low, high]`` of the score that rounds are judged by; None: cannot be told.

    Args:
        table: predictions of the validation films.
        activation: ``"softmax"`` or ``"sigmoid"``.
    """
    found = score_interval(
        GATE_SCORE,
        table.prob,
        table.label,
        activation=activation,
        patient_id=table.patient_id,
    )
    numbers = [json_number(value) for value in found]
    return None if any(value is None for value in numbers) else [float(v or 0) for v in numbers]
