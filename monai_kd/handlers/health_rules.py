# SPDX-License-Identifier: Apache-2.0
"""When training without labels has collapsed, in numbers and in words.

Three ways lead to a network that says the same of every film: the teacher's prototypes stop to
tell films apart, the features become one, or the pseudo labels all become one answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Collapse", "Look", "find_collapse"]

# Measured with real networks and losses, see tests/handlers/test_distl_health_monitor.py.
LEAST_INFORMATION = 0.01  # nats; healthy runs are far above, see there
MOST_SIMILAR = 0.9999  # mean cosine between the features of different films
RARER = 20  # times rarer than among the labeled films
SURE = 7  # a chance of exp(-7), about 1 in 1000, is taken for none


class Look(NamedTuple):
    """What was seen at one iteration.

    Args:
        iteration: the last one of the window.
        signals: see :meth:`monai_kd.handlers.health_signals.HealthWindow.read`.
    """

    iteration: int
    signals: dict[str, list[float]]

    def value(self, name: str) -> float:
        """Return a signal, NaN if there is none.

        Args:
            name: of a signal with one value.
        """
        return self.signals.get(name, [math.nan])[0]


class Collapse(NamedTuple):
    """What collapsed.

    Args:
        kind: ``"self-supervision"``, ``"features"`` or ``"pseudo labels"``.
        since: the first iteration at which it had.
        sentence: what is seen, and what to do, without the beginning.
    """

    kind: str
    since: int
    sentence: str


def find_collapse(
    looks: Sequence[Look],
    *,
    findings: Sequence[str],
    labeled_rate: Sequence[float] | None = None,
    patience: int = 3,
) -> Collapse | None:
    """Return what has collapsed in each of the last looks, if anything has.

    Args:
        looks: in order, those that count.
        findings: names of the C findings.
        labeled_rate: share of the labeled films that have each finding, in [0, 1]; None or NaN
            where unknown.
        patience: looks in a row that have to agree, at least 1.
    """
    for kind, bad, sentence in (
        ("features", _features_are_one, _features_sentence),
        ("self-supervision", _says_nothing, _self_supervision_sentence),
    ):
        run = _run(looks, bad)
        if len(run) >= patience:
            return Collapse(kind, run[0].iteration, sentence(looks[-1]))
    for column, (name, rate) in enumerate(zip(findings, labeled_rate or [], strict=False)):
        for positive in (True, False):
            run = _run(looks, lambda look: _is_gone(look, column, rate, positive))  # noqa: B023
            if len(run) >= patience and _is_no_chance(run, rate, positive):
                return Collapse(
                    "pseudo labels", run[0].iteration, _labels_sentence(run, column, name, rate)
                )
    return None


def _run(looks: Sequence[Look], bad: Callable[[Look], bool]) -> list[Look]:
    """Return the looks at the end that are all bad."""
    start = len(looks)
    while start and bad(looks[start - 1]):
        start -= 1
    return list(looks[start:])


def _says_nothing(look: Look) -> bool:
    return look.value("information") < LEAST_INFORMATION


def _features_are_one(look: Look) -> bool:
    return look.value("similarity") > MOST_SIMILAR


def _is_gone(look: Look, column: int, rate: float, positive: bool) -> bool:
    """Return whether a finding (or its absence) is far rarer than in the labeled films."""
    shares, means = look.signals.get("pseudo_positive"), look.signals.get("pseudo_probability")
    if shares is None or means is None:
        return False
    share, mean = shares[column], means[column]
    if not positive:
        share, mean, rate = 1 - share, 1 - mean, 1 - rate
    return share <= rate / RARER and mean <= rate / RARER and rate > 0


def _is_no_chance(run: Sequence[Look], rate: float, positive: bool) -> bool:
    """Return whether so many films without one could not be, if it were only ``RARER`` times."""
    films = sum(look.value("films") for look in run)
    return films * (rate if positive else 1 - rate) / RARER >= SURE


def _features_sentence(look: Look) -> str:
    return (
        f"the teacher's features of different films are the same (mean cosine "
        f"{look.value('similarity'):.5f}, effective rank {look.value('effective_rank'):.2f}). "
        "Lower `learning_rate`, or start from a network that was trained before."
    )


def _self_supervision_sentence(look: Look) -> str:
    share = look.value("teacher_entropy")
    how = "all prototypes alike" if share > 0.5 else "the same few prototypes"
    cure = (
        "Lower `teacher_temperature` (0.04 is published), below `student_temperature`."
        if share > 0.5
        else "Keep `centering` on, or raise `teacher_temperature`."
    )
    return (
        f"the teacher answers every film with {how} (information {look.value('information'):.4f} "
        f"nats, entropy {share:.3f} of the largest possible). {cure}"
    )


def _labels_sentence(run: Sequence[Look], column: int, name: str, rate: float) -> str:
    share = run[-1].signals["pseudo_positive"][column]
    films = sum(look.value("films") for look in run)
    word = "positive" if share > 0.5 else "negative"
    return (
        f"the teacher calls nearly every unlabeled film {word} for {name} ({share:.1%} positive in "
        f"the last window, {films:.0f} films since then), against {rate:.1%} of the labeled films. "
        "Correct more often (`correction_every`), label more films, or, if that is how these films "
        'are, set `on_collapse` to "warn".'
    )
