# SPDX-License-Identifier: Apache-2.0
"""A model at another site: how much it loses there, and what may be wrong with the films."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from numpy.typing import NDArray

from monai_kd.data import gray_hints, gray_shift, read_film_histogram
from monai_kd.handlers.predictions import readable
from monai_kd.metrics import (
    Difference,
    Interval,
    Predictions,
    json_limits,
    json_number,
    label_hints,
    read_predictions,
    score_drop,
    score_interval,
)
from monai_kd.utils import read_json, read_settings
from monai_kd.utils.distributed import is_main_process

__all__ = ["ExternalTest"]

_log = logging.getLogger(__name__)
_VERDICTS = {"gain shown": "drop shown", "loss shown": "gain shown", "not shown": "not shown"}


@dataclass(frozen=True)
class _Judged:
    """Predictions of one evaluation, with what they are judged by."""

    prob: NDArray[Any]
    label: NDArray[Any]
    patient_id: Sequence[object] | None
    activation: str

    def of(self, column: int) -> _Judged:
        """Return one finding alone."""
        prob, label = self.prob[:, [column]], self.label[:, [column]]
        return _Judged(prob, label, self.patient_id, "sigmoid")

    def auroc(self) -> Interval:
        return score_interval(
            "macro_auroc",
            self.prob,
            self.label,
            activation=self.activation,
            patient_id=self.patient_id,
        )


class ExternalTest:
    """Compare an evaluation on another datalist with the model's own, in ``summary["external"]``.

    The model's own evaluation is the ``predictions.csv`` in its run directory, or, when there is
    none, the ``validation_predictions.csv`` of its training. ``summary["external"]`` gets
    ``internal_auroc`` and ``internal_ci``, ``auroc`` and ``auroc_ci``, ``drop``, ``drop_ci``,
    ``p_value`` and ``verdict`` (``"drop shown"``, ``"gain shown"`` or ``"not shown"``), the same
    ``per_finding``, ``internal_section``, ``hints`` (sentences), and ``histogram``: the fields of
    :class:`monai_kd.data.GrayShift`, or None when the training does not remember its films.
    Nothing happens on the datalist of the training, or when the run does not say which that was.

    Args:
        model_dir: run directory of the training, with ``config.json``, and ``gray_histogram.json``
            for hints on the films.
        findings: names of the C findings, in the order of the model.
        activation: ``"softmax"`` or ``"sigmoid"``.
        datalist_sha256: hash of the evaluated datalist, such as
            :func:`monai_kd.data.datalist_fingerprint`; ``config.json`` holds that of the training,
            made by the same function, as ``sha256``.
        films: the evaluated films, prepared and not normalized; None gives no hints on them.
        model_sha256: of the evaluated weights; a ``predictions.csv`` of other weights is left
            aside. Empty does not check.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        *,
        findings: Sequence[str],
        activation: str,
        datalist_sha256: str,
        films: Any = None,
        model_sha256: str = "",
    ) -> None:
        self.model_dir = Path(model_dir)
        self.findings = list(findings)
        self.activation = activation
        self.films = films
        self.model_sha256 = model_sha256
        home = read_settings(self.model_dir).get("sha256")
        self.is_external = home is not None and home != datalist_sha256
        self._home: tuple[str, Predictions] | None = None

    def attach(self, engine: Engine) -> None:
        """Read the own evaluation first, since it may be replaced; compare when all is evaluated.

        Attach after ``ClassificationMetrics`` and before ``EvaluationJSON``.

        Args:
            engine: the evaluator.
        """
        if self.is_external:
            engine.add_event_handler(Events.STARTED, self._read_home)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add ``external`` to the summary and log the headline and the hints.

        Args:
            engine: the evaluator.
        """
        if not is_main_process() or not engine.state.summary:
            return
        table = readable(engine.state.predictions)
        here = self._judged(table["prob"].numpy(), table["label"].numpy(), table.get("patient_id"))
        external = self._compared(here)
        shift, hints = self._films_looked_at()
        said = label_hints(here.prob, here.label, findings=self.findings, auroc=here.auroc())
        external["hints"] = [*said, *hints]
        external["histogram"] = shift
        engine.state.summary["external"] = external
        _log.info("%s", _headline(external))
        for hint in external["hints"]:
            _log.warning("external: %s", hint)

    def _read_home(self, engine: Engine) -> None:
        if is_main_process():
            self._home = _home_predictions(self.model_dir, self.findings, self.model_sha256)
        if is_main_process() and self._home is None:
            _log.warning(
                "external: there is nothing to compare with. Evaluate the model on its own "
                "datalist first, then this one with another `output_dir`."
            )

    def _judged(
        self, prob: NDArray[Any], label: NDArray[Any], patient_id: Sequence[object] | None
    ) -> _Judged:
        return _Judged(prob, label, patient_id, self.activation)

    def _compared(self, here: _Judged) -> dict[str, Any]:
        if self._home is None:
            return {"internal_section": None, **_drop(None, here), "per_finding": {}}
        section, own = self._home
        home = self._judged(own.prob, own.label, own.patient_id)
        findings = {
            name: _drop(home.of(column), here.of(column))
            for column, name in enumerate(self.findings)
        }
        return {"internal_section": section, **_drop(home, here), "per_finding": findings}

    def _films_looked_at(self) -> tuple[dict[str, Any] | None, list[str]]:
        training = read_film_histogram(self.model_dir)
        if self.films is None or training is None:
            return None, []
        shift = gray_shift(self.films, training)
        measured = {name: None if math.isnan(v) else v for name, v in vars(shift).items()}
        return measured, gray_hints(shift, training)


def _home_predictions(
    folder: Path, findings: list[str], model_sha256: str
) -> tuple[str, Predictions] | None:
    """Section and predictions of the model's own evaluation, None when there is none."""
    evaluation = read_json(folder / "evaluation.json") or {}
    section = evaluation.get("predictions_of", "test")
    summary = evaluation.get("sections", {}).get(section) or {}
    same_model = model_sha256 in ("", evaluation.get("model_sha256", model_sha256))
    tables = [("validation", folder / "validation_predictions.csv")]
    if same_model and "external" not in summary and section != "labeled":
        tables.insert(0, (section, folder / "predictions.csv"))
    for name, path in tables:
        if path.exists():
            own = read_predictions(path)
            if own.findings == findings:
                return name, own
    return None


def _drop(home: _Judged | None, here: _Judged) -> dict[str, Any]:
    """AUROC at home, here, and the difference; None for what is not known."""
    internal = Interval(math.nan, math.nan, math.nan)
    drop = Difference(math.nan, math.nan, math.nan, math.nan)
    if home is not None:
        internal = home.auroc()
        ours, theirs = (
            (one.prob, one.label, None if one.patient_id is None else list(one.patient_id))
            for one in (home, here)
        )
        drop = score_drop("macro_auroc", ours, theirs, activation=here.activation)
    external = here.auroc()
    return {
        "internal_auroc": json_number(internal.estimate),
        "internal_ci": json_limits(internal),
        "auroc": json_number(external.estimate),
        "auroc_ci": json_limits(external),
        "drop": json_number(drop.estimate),
        "drop_ci": json_limits(drop),
        "p_value": json_number(drop.p_value),
        "verdict": _VERDICTS[drop.verdict],
    }


def _headline(external: dict[str, Any]) -> str:
    said = f"external: AUROC {_text(external['auroc'])}"
    if external["drop"] is None:
        return said
    drop, limits = external["drop"], external["drop_ci"]
    word = "lower" if drop >= 0 else "higher"
    said += f", {abs(drop):.2f} {word} than at home"
    if limits is not None:
        low, high = limits if drop >= 0 else (-limits[1], -limits[0])
        said += f" (95% CI {low:.2f} to {high:.2f})"
    if external["internal_section"] == "validation":
        said += "; at home is the validation section, which chose the epoch"
    return said + ("; a difference is not shown" if external["verdict"] == "not shown" else "")


def _text(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
