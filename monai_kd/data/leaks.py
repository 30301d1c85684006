# SPDX-License-Identifier: Apache-2.0
"""The leak gate: nobody may stand in two sections, neither a patient nor a picture.

Two unlabeled rounds count as two sections: a picture that comes back in a later round would be
learned from twice and its pseudo label would look independent of the first. A fuller check (near
duplicates, study numbers) is one more entry of ``LEAK_CHECKS``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from monai_kd.data.datalist import Datalist
from monai_kd.utils import MonaiKDError

__all__ = ["LEAK_CHECKS", "LeakReport", "check_leaks", "refuse_leaks"]

LEAK_CHECKS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "patients": lambda item: item.get("patient_id"),
    "identical pictures": lambda item: item.get("pixel_sha256"),
}
"""What must not stand in two sections -> the identity of an item, or None when it is unknown."""


@dataclass
class LeakReport:
    """Counts of what stands in two sections.

    Attributes:
        shared: per check and pair of sections, how many patients or pictures both hold; pairs that
            share nothing are absent.
        unknown: per check, how many items have no identity and could not be compared.
    """

    shared: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing is shared."""
        return not any(self.shared.values())

    def lines(self) -> list[str]:
        """Say each finding in one line, counts only."""
        return [
            f"{count} {check} stand in `{first}` and in `{second}`"
            for check, pairs in self.shared.items()
            for (first, second), count in pairs.items()
        ]


def check_leaks(datalist: Datalist, *, hash_pixels: bool = False) -> LeakReport:
    """Count what stands in two of labeled, unlabeled_1 ... n, validation and test.

    Args:
        datalist: what would be trained on.
        hash_pixels: read the images of items without ``pixel_sha256`` to find copies.
    """
    report = LeakReport()
    for check, identity in LEAK_CHECKS.items():
        sections_of: dict[str, set[str]] = defaultdict(set)
        unknown = 0
        for section, items in datalist.sections.items():
            for item in items:
                own = identity(item)
                if own is None and check == "identical pictures" and hash_pixels:
                    own = _hash_pixels(datalist.root / item["image"])
                if own is None:
                    unknown += 1
                else:
                    sections_of[own].add(section)
        report.shared[check] = _pairs(sections_of, list(datalist.sections))
        report.unknown[check] = unknown
    return report


def refuse_leaks(datalist: Datalist, *, hash_pixels: bool = False) -> LeakReport:
    """Raise when a patient or an identical picture stands in two sections.

    Args:
        datalist: what would be trained on.
        hash_pixels: see :func:`check_leaks`.

    Returns:
        The clean report, with the number of items that could not be compared.

    Raises:
        MonaiKDError: with the counts, never with names.
    """
    report = check_leaks(datalist, hash_pixels=hash_pixels)
    if not report.clean:
        said = "".join(f"\n  - {line}." for line in report.lines())
        raise MonaiKDError(
            "refuse_leaks: every patient and every picture must stand in one section only, got "
            f"shared ones:{said}\nScores on this datalist would be too good. Build it again with "
            "`python -m monai_kd datalist`, which keeps patients and copies together."
        )
    return report


def _pairs(sections_of: Mapping[str, set[str]], order: list[str]) -> dict[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for sections in sections_of.values():
        counts.update(combinations(sorted(sections, key=order.index), 2))
    return dict(counts)


def _hash_pixels(path: Path) -> str | None:
    from monai_kd.data.radiograph import stored_pixels_sha256

    try:
        return stored_pixels_sha256(path)
    except MonaiKDError:  # unreadable: said when it is loaded
        return None
