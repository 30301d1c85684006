# SPDX-License-Identifier: Apache-2.0
"""What a reader asks after the AUROC: is it honest, what is a yes worth, and for whom."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from monai_kd.handlers.predictions import readable
from monai_kd.metrics import (
    GOALS,
    METADATA,
    Predictions,
    calibration_summary,
    fit_temperature,
    operating_points,
    read_predictions,
    subgroup_table,
)
from monai_kd.utils import MonaiKDError
from monai_kd.utils.distributed import is_main_process

__all__ = ["Evidence"]

_log = logging.getLogger(__name__)
_DIGITS = 6  # of a probability in predictions.csv; thresholds are compared with what stands there


class Evidence:
    """Add ``calibration``, ``operating_points`` and ``subgroups`` to ``engine.state.summary``.

    Thresholds and the temperature are chosen on validation and judged on the section at hand;
    ``shared_with_validation`` says how many of its films were among those that chose, 0 as a rule.
    Without predictions on validation there are no operating points and no temperature, and a line
    in the log says what to do. Films that could not be read are left out.

    Args:
        findings: names of the C findings.
        activation: ``"softmax"`` or ``"sigmoid"``.
        validation_csv: ``validation_predictions.csv`` of the training run; need not exist.
        prevalence: share of images with the finding where the model will be used, in (0, 1), or
            one per finding; None: predictive values only at the share of this section.
        goals: what thresholds are chosen for, pairs such as ``("sensitivity", 0.95)``.

    Raises:
        ValueError: if ``prevalence`` is not in (0, 1), or is said of a finding that there is not.
    """

    def __init__(
        self,
        findings: Sequence[str],
        *,
        activation: str,
        validation_csv: str | os.PathLike[str],
        prevalence: float | Mapping[str, float] | None = None,
        goals: Sequence[tuple[str, float | None]] = GOALS,
    ) -> None:
        self.findings = list(findings)
        self.activation = activation
        self.validation_csv = Path(validation_csv)
        self.prevalence = prevalence
        self.goals = [(goal, value) for goal, value in goals]
        _check_prevalence(prevalence, self.findings)

    def attach(self, engine: Engine) -> None:
        """Compute when the evaluation ends; attach after ``ClassificationMetrics``.

        Args:
            engine: the evaluator.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add to the summary, unless the network diverged and there is none.

        Args:
            engine: the evaluator.

        Raises:
            MonaiKDError: if the validation predictions are of other findings.
        """
        summary = engine.state.summary
        if not summary or not is_main_process():
            return
        table = readable(engine.state.predictions)
        validation = self._validation()
        patient = table.get("patient_id")
        prob, label = _array(table["prob"]), _array(table["label"])
        summary["calibration"] = calibration_summary(
            prob,
            label,
            activation=self.activation,
            findings=self.findings,
            patient_id=patient,
            temperature=self._temperature(validation),
        )
        summary["operating_points"] = []
        if validation is not None:
            summary |= _shared(validation, table)
            summary["operating_points"] = operating_points(
                (prob.round(_DIGITS), label),
                (validation.prob, validation.label),
                findings=self.findings,
                goals=self.goals,
                patient_id=patient,
                prevalence=self.prevalence,
            )
        summary["subgroups"] = subgroup_table(
            prob,
            label,
            {name: table[name] for name in METADATA if name in table},
            findings=self.findings,
            activation=self.activation,
            patient_id=patient,
        )

    def _validation(self) -> Predictions | None:
        """Predictions on validation with the columns in our order, or None where there are none."""
        if not self.validation_csv.is_file():
            _log.warning(
                "No predictions on validation: no operating points, no temperature. Train with "
                "this version, which writes validation_predictions.csv, or give model_dir."
            )
            return None
        read = read_predictions(self.validation_csv)
        if sorted(read.findings) != sorted(self.findings):
            raise MonaiKDError(
                f"Evidence: `validation_csv` must be of the findings {self.findings}, got "
                f"{read.findings}. Give it the predictions of the model that is evaluated."
            )
        order = [read.findings.index(name) for name in self.findings]
        return Predictions(
            findings=self.findings,
            key=read.key,
            patient_id=read.patient_id,
            label=read.label[:, order],
            prob=read.prob[:, order],
        )

    def _temperature(self, validation: Predictions | None) -> float | None:
        if validation is None or np.isnan(validation.label).all():
            return None
        return fit_temperature(validation.prob, validation.label, activation=self.activation)


def _shared(validation: Predictions, table: Mapping[str, Any]) -> dict[str, int]:
    """How many films are judged by what they chose themselves; nothing where films have no id."""
    if "id" not in table:
        return {}
    shared = len(set(validation.key) & {str(key) for key in table["id"]})
    if shared:
        _log.warning(
            "Thresholds were chosen on %d of the films that they are judged on: the operating "
            "points look better than they are.",
            shared,
        )
    return {"shared_with_validation": shared}


def _array(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _check_prevalence(prevalence: float | Mapping[str, float] | None, findings: list[str]) -> None:
    shares: Mapping[str, float | None]
    if isinstance(prevalence, Mapping):
        shares = prevalence
    else:
        shares = {} if prevalence is None else dict.fromkeys(findings, prevalence)
    strange = sorted(set(shares) - set(findings))
    if strange:
        raise ValueError(
            f"Evidence: `prevalence` must be of the findings {findings}, got {strange}. "
            "Name the findings as the datalist does."
        )
    wrong = [share for share in shares.values() if share is None or not 0 < share < 1]
    if wrong:
        raise ValueError(
            f"Evidence: `prevalence` must be in (0, 1), got {wrong[0]}. Give the share of images "
            "with the finding where the model will be used, such as 0.05."
        )
