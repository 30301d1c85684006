# SPDX-License-Identifier: Apache-2.0
"""Values that few films share, pooled: "oblique at the harbor site" may be one known person.

Ten is what subgroups need as well, see :func:`monai_kd.metrics.subgroup_masks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["OTHER", "SMALLEST_GROUP", "pooled_counts", "pooled_text"]

SMALLEST_GROUP = 10
"""Films that must share a value before it is printed."""

OTHER = "other"
"""Under this name the rare values are counted together."""


def pooled_counts(
    values: Iterable[str] | Mapping[str, int], smallest: int = SMALLEST_GROUP
) -> dict[str, int]:
    """Count values, those of too few films together.

    A value may be printed if it is a key of what is returned.

    Args:
        values: one for each film, "" for unknown, which is not counted; or counts by value.
        smallest: films that must share a value; 1 pools nothing.

    Returns:
        Films by value, most frequent first, ``"other"`` last if there are rare ones.

    Example:
        >>> pooled_counts(["PA"] * 12 + ["AP", "oblique", ""])
        {'PA': 12, 'other': 2}
    """
    counts = Counter(values)
    del counts[""]
    kept = {name: n for name, n in counts.most_common() if n >= smallest and name != OTHER}
    rest = sum(counts.values()) - sum(kept.values())
    return kept | ({OTHER: rest} if rest else {})


def pooled_text(values: Iterable[str] | Mapping[str, int], *, most: int = 8) -> str:
    """Return values and their films as words, rare ones and those beyond the first few together.

    Args:
        values: as in :func:`pooled_counts`.
        most: values that are named.

    Example:
        >>> pooled_text({"PA": 12, "AP": 9, "oblique": 1})
        'PA (12 films), other (10 films)'
    """
    counts = pooled_counts(values)
    rest = counts.pop(OTHER, 0) + sum(list(counts.values())[most:])
    named = dict(list(counts.items())[:most]) | ({OTHER: rest} if rest else {})
    return ", ".join(f"{name} ({n} {'film' if n == 1 else 'films'})" for name, n in named.items())
