# SPDX-License-Identifier: Apache-2.0
"""The leak gate: nobody may stand in two sections, neither a patient nor a picture.

Two unlabeled rounds count as two sections: a picture that comes back in a later round would be
learned from twice and its pseudo label would look independent of the first. A fuller check (near
duplicates, study numbers) is one more entry of ``LEAK_CHECKS``.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from monai_kd.data.datalist import Datalist
from monai_kd.utils import MonaiKDError

__all__ = ["LEAK_CHECKS", "LeakReport", "check_leaks", "refuse_leaks"]

_log = logging.getLogger(__name__)

LEAK_CHECKS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "patients": lambda item: item.get("patient_id"),
    "image files": lambda item: item["image"],
    "identical pictures": lambda item: item.get("pixel_sha256"),
}
"""What must not stand in two sections -> the identity of an item, or None when it is unknown.

Items come with ``image`` as absolute path, links resolved.
"""


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
    placed = [
        (section, item | {"image": os.path.realpath(datalist.root / item["image"])})
        for section, items in datalist.sections.items()
        for item in items
    ]
    if hash_pixels:
        _add_hashes([item for _, item in placed])
    for check, identity in LEAK_CHECKS.items():
        sections_of: dict[str, set[str]] = defaultdict(set)
        unknown = 0
        for section, item in placed:
            own = identity(item)
            if own is None:
                unknown += 1
            else:
                sections_of[own].add(section)
        report.shared[check] = _pairs(sections_of, list(datalist.sections))
        report.unknown[check] = unknown
    return report


def refuse_leaks(datalist: Datalist, *, hash_pixels: bool = True) -> LeakReport:
    """Raise when a patient, an image file or an identical picture stands in two sections.

    What has no identity cannot be compared: how many these are is said in one warning.

    Args:
        datalist: what would be trained on.
        hash_pixels: see :func:`check_leaks`; takes some milliseconds per film without a hash.

    Returns:
        The clean report, with the number of items that could not be compared.

    Raises:
        MonaiKDError: with the counts, never with names.
    """
    report = check_leaks(datalist, hash_pixels=hash_pixels)
    unknown = ", ".join(f"{check}: {count}" for check, count in report.unknown.items() if count)
    if unknown:
        _log.warning(
            "refuse_leaks: leaks cannot be excluded for items without `patient_id`, nor for "
            "pictures that have no hash or could not be read. Items not compared, of %d: %s.",
            sum(len(items) for items in datalist.sections.values()),
            unknown,
        )
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


def _add_hashes(items: Sequence[dict[str, Any]]) -> None:
    missing = [item for item in items if item.get("pixel_sha256") is None]
    if missing:
        _log.info("Leak check: hashing the pixels of %d films without a hash.", len(missing))
    made: dict[str, str | None] = {}
    for item in missing:
        path = item["image"]
        made[path] = made[path] if path in made else _hash_pixels(Path(path))
        item["pixel_sha256"] = made[path]


def _hash_pixels(path: Path) -> str | None:
    from monai_kd.data.radiograph import stored_pixels_sha256

    try:
        return stored_pixels_sha256(path)
    except (MonaiKDError, OSError):  # unreadable: said when it is loaded
        return None
