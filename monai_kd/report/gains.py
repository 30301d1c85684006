# SPDX-License-Identifier: Apache-2.0
"""What a comparison of two models is made of: lines, each with a difference and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_kd.metrics import SCORES, Difference, json_limits, json_number

__all__ = ["Comparison", "Gain"]


@dataclass(frozen=True)
class Gain:
    """One score of two models.

    Args:
        score: name of the score, see :data:`monai_kd.metrics.SCORES`; or ``"froc_score"``.
        by: ``""`` for all films, ``"finding"``, or what the films are grouped by (``"sex"``).
        group: name of the finding or of the group; ``""`` for all films.
        films: how many films it is computed on.
        ours: score of the first model; the mean over seeds if there are several.
        theirs: the same of the second model.
        difference: ours minus theirs, over patients; over seeds and patients if there are several.
        over_seeds: ours minus theirs over seeds alone, or None.
        sd: standard deviation of the difference from seed to seed, or None.
    """

    score: str
    by: str
    group: str
    films: int
    ours: float
    theirs: float
    difference: Difference
    over_seeds: Difference | None = None
    sd: float | None = None

    @property
    def verdict(self) -> str:
        """``"gain shown"``, ``"loss shown"``, or ``"not shown"`` where the interval holds 0."""
        verdict = self.difference.verdict
        if self.score in SCORES and SCORES[self.score].lower_is_better:
            return {"gain shown": "loss shown", "loss shown": "gain shown"}.get(verdict, verdict)
        return verdict

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for ``json.dump``, with None where the data cannot say."""
        one = {
            "score": self.score,
            "by": self.by,
            "group": self.group,
            "films": self.films,
            "ours": json_number(self.ours),
            "theirs": json_number(self.theirs),
            **_as_dict(self.difference),
            "verdict": self.verdict,
        }
        if self.over_seeds is not None and self.sd is not None:
            one |= {"sd": json_number(self.sd), "over_seeds": _as_dict(self.over_seeds)}
        return one


@dataclass(frozen=True)
class Comparison:
    """What is found when two models, or two methods with several seeds each, are compared.

    Args:
        films: how many films every model has judged.
        patients: how many patients these are of, or None when that is not known.
        gains: one for each score, finding and group.
        notes: what a reader of the table should know, one sentence each.
        section: name of the evaluated section, or ``""``.
        settings: values of the two trainings by setting, where they differ.
        seeds: numbers of the seeds, empty for single runs.
    """

    films: int
    patients: int | None
    gains: list[Gain]
    notes: list[str] = field(default_factory=list)
    section: str = ""
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for ``json.dump``; no id, no file name and no path is in it."""
        return {
            "films": self.films,
            "patients": self.patients,
            "section": self.section,
            "seeds": self.seeds,
            "settings": {name: list(values) for name, values in self.settings.items()},
            "gains": [gain.as_dict() for gain in self.gains],
            "notes": self.notes,
        }


def _as_dict(difference: Difference) -> dict[str, Any]:
    return {
        "difference": json_number(difference.estimate),
        "ci": json_limits(difference),
        "p_value": json_number(difference.p_value),
    }
