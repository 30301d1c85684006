# SPDX-License-Identifier: Apache-2.0
"""How good each round's model is on the same films, and what each round has changed.

The share of a gap that is closed is a ratio of two differences, so its interval is Fieller's.
Source: Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society
B 16, 1954. That both differences and their covariance come from the influences of the patients is
ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_kd.engines.rounds_files import RoundsRun
from monai_kd.metrics import (
    SCORES,
    Predictions,
    json_limits,
    json_number,
    match_predictions,
    score_difference,
    score_interval,
)
from monai_kd.metrics.limits import student_quantile
from monai_kd.utils import MonaiKDError

__all__ = ["Tables", "gap_closed", "round_numbers"]

Tables = Mapping[tuple[str, int, str], Predictions | None]
"""Predictions by method, round, and ``"student"`` or ``"teacher"``; None of a diverged model."""
_SCORE = "macro_auroc"
_CARRIED = ("round", "name", "labeled", "unlabeled", "accepted", "reason", "validation")


def round_numbers(
    runs: Sequence[RoundsRun], tables: Tables, *, activation: str, upper_bound: str
) -> list[dict[str, Any]]:
    """Return what is known of each method: its rounds, with scores and paired differences.

    Args:
        runs: the run's own rounds first.
        tables: what the models said.
        activation: ``"softmax"`` or ``"sigmoid"``.
        upper_bound: method that was given all labels.

    Returns:
        By method ``method``, ``delivered``, ``network`` and ``rounds``. Each round has what
        ``rounds.json`` says (``difference`` there is the gate's, called ``gate`` here), and
        ``student`` and ``teacher`` (``value``, ``ci``). Compared, film by film, are the models of
        the kind that is delivered (``network``): ``against_initial``; ``against_before``, which is
        the last accepted model, from which the round started (``round``); and, for the run's own
        method, ``against`` the others (by method; ``round`` says which of theirs) and
        ``gap_closed``, see :func:`gap_closed`.
    """
    told: list[dict[str, Any]] = []
    for run in runs:
        rounds = [_one_round(run, place, tables, activation) for place in range(len(run.rounds))]
        about = {"method": run.method, "delivered": run.delivered, "network": run.network}
        about |= {"stopped": run.stopped} if run.stopped else {}
        told.append({**about, "rounds": rounds})
    own, others = runs[0], runs[1:]
    start = _said(own, own.rounds[0]["round"], tables)
    top = [
        _said(run, run.delivered, tables)
        for run in others
        if run.method == upper_bound and not run.stopped
    ]
    for place, row in enumerate(told[0]["rounds"]):
        ours = _said(own, row["round"], tables)
        row["against"] = _against(ours, row["round"], others, tables, activation=activation)
        if top and place:
            row["gap_closed"] = gap_closed(start, ours, top[0], activation=activation)
    return told


def gap_closed(
    start: Predictions | None,
    reached: Predictions | None,
    top: Predictions | None,
    *,
    activation: str,
    level: float = 0.95,
) -> dict[str, Any] | None:
    """Return which share of the way from a first model to the upper bound another has gone.

    Args:
        start: predictions of the initial model.
        reached: those of the model in question.
        top: those of the model with all labels.
        activation: ``"softmax"`` or ``"sigmoid"``.
        level: share of intervals that hold the truth.

    Returns:
        ``gap`` (top minus start, in AUROC), ``value`` (1: as good as the upper bound) and ``ci``.
        The last two are None where the gap itself is not shown: a share of nothing has no meaning.
        None where a model's predictions are missing or of other films.
    """
    try:
        if start is None or reached is None or top is None:
            return None
        start, reached = match_predictions(start, reached)
        start, top = match_predictions(start, top)
        start, reached = match_predictions(start, reached)
    except MonaiKDError:
        return None
    values, influences = zip(
        *(
            SCORES[_SCORE](m.prob, m.label, activation=activation, patient_id=start.patient_id)
            for m in (start, reached, top)
        ),
        strict=True,
    )
    gain, gap = values[1] - values[0], values[2] - values[0]
    if math.isnan(gain + gap):
        return None
    moved = _by_patient(influences, start.patient_id)
    quantile = student_quantile(level, max(len(moved) - 1, 1))
    limits = _fieller(gain, gap, moved, quantile)
    share = None if limits is None else gain / gap
    return {"gap": gap, "value": share, "ci": limits}


def _by_patient(influences: Sequence[Any], patient_id: Sequence[str] | None) -> Any:
    """How far each patient moves gain and gap, ``(patients, 2)``."""
    start, reached, top = influences
    both = np.stack([reached - start, top - start], axis=1)
    if patient_id is None:
        return both
    names, who = np.unique(np.asarray(patient_id), return_inverse=True)
    return np.stack([np.bincount(who, both[:, part], len(names)) for part in (0, 1)], axis=1)


def _fieller(gain: float, gap: float, moved: Any, quantile: float) -> list[float] | None:
    """Limits of gain / gap; None where the gap's own interval holds 0, or where it is a loss."""
    (v_gain, both), (_, v_gap) = (quantile**2 * (moved.T @ moved)).tolist()
    a, b, c = gap**2 - v_gap, both - gain * gap, gain**2 - v_gain
    if not (a > 0 and gap > 0):
        return None
    root = math.sqrt(max(b * b - a * c, 0.0))
    return [(-b - root) / a, (-b + root) / a]


def _one_round(run: RoundsRun, place: int, tables: Tables, activation: str) -> dict[str, Any]:
    entry = run.rounds[place]
    row = {name: entry.get(name) for name in _CARRIED} | {"gate": entry.get("difference")}
    for network in ("student", "teacher"):
        row[network] = _score(tables.get((run.method, entry["round"], network)), activation)
    if place:
        ours = _said(run, entry["round"], tables)
        kept = [one["round"] for one in run.rounds[:place] if one.get("accepted", True)]
        first = run.rounds[0]["round"]
        before = kept[-1] if kept else first
        row["against_initial"] = _difference(ours, _said(run, first, tables), activation)
        row["against_before"] = _difference(ours, _said(run, before, tables), activation)
        if row["against_before"] is not None:
            row["against_before"]["round"] = before
    return row


def _said(run: RoundsRun, number: int, tables: Tables) -> Predictions | None:
    return tables.get((run.method, number, run.network))


def _against(
    ours: Predictions | None,
    number: int,
    others: Sequence[RoundsRun],
    tables: Tables,
    *,
    activation: str,
) -> dict[str, Any]:
    told = {}
    for other in others:
        at = _round_beside(other, number)
        theirs = None if at is None else _said(other, at, tables)
        found = _difference(ours, theirs, activation)
        if found is not None:
            told[other.method] = found | {"round": at}
    return told


def _round_beside(other: RoundsRun, number: int) -> int | None:
    """The other's round of this number, or its last one before; None where it begins later.

    A method that was stopped has no last one: it never came to an end.
    """
    before = [entry["round"] for entry in other.rounds if entry["round"] <= number]
    found = max(before, default=None)
    return None if other.stopped and found != number else found


def _score(table: Predictions | None, activation: str) -> dict[str, Any] | None:
    if table is None:
        return None
    found = score_interval(
        _SCORE, table.prob, table.label, activation=activation, patient_id=table.patient_id
    )
    return {"value": json_number(found.estimate), "ci": json_limits(found)}


def _difference(
    ours: Predictions | None, theirs: Predictions | None, activation: str
) -> dict[str, Any] | None:
    if ours is None or theirs is None:
        return None
    try:
        one, other = match_predictions(ours, theirs)
    except MonaiKDError:  # one of the two has hardly any film that could be judged
        return None
    found = score_difference(
        _SCORE, one.prob, other.prob, one.label, activation=activation, patient_id=one.patient_id
    )
    return {
        "value": json_number(found.estimate),
        "ci": json_limits(found),
        "p_value": json_number(found.p_value),
        "verdict": found.verdict,
    }
