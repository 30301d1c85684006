# SPDX-License-Identifier: Apache-2.0
"""When the pseudo labels of a map are worth a warning, and in which words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PseudoLabelWarnings"]

LEAST_PRECISION = 0.1  # of what the pseudo labels call a finding, at least this lies where it is
MOST_DISTILLATION = 0.95  # share of the loss above which drawn films hardly count

_NOTHING_THERE = {
    "aals": "AALS changes nothing there",
    "constant": "sharpening changes nothing there",
    "symmetric": "sharpening lowers these maps, and teaches the student that nothing is there",
    "hard": "their pseudo labels are empty, and teach the student that nothing is there",
    "none": "the student is taught maps in which hardly anything is seen",
}


class PseudoLabelWarnings:
    """Notice what stays bad for some looks in a row; say each thing once.

    Args:
        findings: names of the C findings.
        center: of the sharpening, in (0, 1).
        patience: looks in a row that have to agree; looks that cannot tell are passed over.

    Attributes:
        sharpening: of the loss, see :data:`monai_kd.losses.SHARPENINGS`; only for the words.
    """

    def __init__(self, findings: Sequence[str], *, center: float, patience: int) -> None:
        self.findings = list(findings)
        self.center = center
        self.patience = patience
        self.sharpening = "aals"
        self._streaks: dict[str, list[float]] = {}  # looks so far, and the films in them
        self._said: list[str] = []

    def look(self, row: Mapping[str, Any], maps: Sequence[float]) -> list[str]:
        """Return what has to be said now, mostly nothing.

        Args:
            row: of ``health.csv``; NaN is what nobody knows.
            maps: pseudo maps of each finding in the window.
        """
        said = []
        for finding, films in zip(self.findings, maps, strict=True):
            share, precision = row[f"above_center_{finding}"], row[f"precision_{finding}"]
            seen = self._stays_bad(f"silent {finding}", share, share <= 0, films)
            if seen:
                said.append(self._silent(finding, seen))
            if self._stays_bad(f"wrong {finding}", precision, precision < LEAST_PRECISION, films):
                said.append(self._wrong(finding, precision))
        share = row["distillation_share"]
        if self._stays_bad("share", share, share > MOST_DISTILLATION, 1):
            said.append(_outweighed(share))
        return said

    def state_dict(self) -> dict[str, Any]:
        """Return what was noticed, for a checkpoint."""
        return {"streaks": {k: list(v) for k, v in self._streaks.items()}, "said": list(self._said)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Args:
            state: what :meth:`state_dict` returned.
        """
        self._streaks = {name: list(seen) for name, seen in state["streaks"].items()}
        self._said = list(state["said"])

    def _stays_bad(self, name: str, value: float, bad: bool, films: float) -> int:
        """Films of the looks in a row that are bad, once there are enough of these; else 0."""
        if math.isnan(value) or name in self._said:
            return 0
        looks, seen = self._streaks.get(name, [0, 0])
        self._streaks[name] = [looks + 1, seen + films] if bad else [0, 0]
        if self._streaks[name][0] < self.patience:
            return 0
        self._said.append(name)
        return round(self._streaks[name][1])

    def _silent(self, finding: str, films: int) -> str:
        looks = f"{self.patience} looks" if self.patience > 1 else "look"
        return (
            f"The teacher's peak is above the center on none of the {films} films with {finding} "
            f"in the last {looks} (`center` is {self.center:g}): "
            f"{_NOTHING_THERE[self.sharpening]}. {self._advice('lower')}"
        )

    def _wrong(self, finding: str, precision: float) -> str:
        return (
            f"Of what the pseudo labels call {finding}, {precision:.1%} lies in the regions that "
            f"training does not see: the student is taught the wrong places. "
            f"{self._advice('raise')}"
        )

    def _advice(self, turn: str) -> str:
        """Without sharpening the center is a yardstick alone: to move it mends nothing."""
        if self.sharpening == "none":
            return "Train the first stage longer, or draw more regions."
        return f"Train the first stage longer, draw more regions, or {turn} `center`."


def _outweighed(share: float) -> str:
    return (
        f"The distillation is {share:.1%} of the loss: what was drawn hardly counts any more. "
        "Lower `distillation_weight`, or give drawn films a larger part in `ratio`."
    )
