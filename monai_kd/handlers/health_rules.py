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

# Set between what healthy and collapsed runs of vit_mini_patch8 and resnet10-w16 show on drawn
# films after 100 steps, see tests/handlers/test_distl_collapse_real.py: effective temperature 0.04
# to 0.05, against 0.85 and more at teacher temperature 1; prototypes in use about 510 of 512,
# against 1.1 without a center; mean cosine up to 0.9989, against 0.99994.
MOST_FLAT = 0.2  # effective temperature; the published temperature is 0.04, the student's 0.1
FEWEST_PROTOTYPES = 2.0  # that all films share; a center spreads them over nearly all there are
LEAST_INFORMATION = 0.001  # nats; where the features are not known
NO_INFORMATION = 1e-5  # nats; about the rounding of the entropies
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
    if look.value("prototypes_used") < FEWEST_PROTOTYPES:
        return True
    if look.value("information") < NO_INFORMATION:
        return True
    flatness = look.value("effective_temperature")
    if math.isnan(flatness):
        return look.value("information") < LEAST_INFORMATION
    return flatness > MOST_FLAT


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
    few = look.value("prototypes_used") < FEWEST_PROTOTYPES
    how = "one and the same prototype" if few else "all prototypes alike"
    cure = (
        "Keep the center (`centering`), or lower `learning_rate`."
        if few
        else "Lower `teacher_temperature`, well below `student_temperature` (0.04 and 0.1 are "
        "published)."
    )
    return (
        f"the teacher answers every film with {how} (information {look.value('information'):.4f} "
        f"nats, {look.value('prototypes_used'):.1f} prototypes in use). {cure}"
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
