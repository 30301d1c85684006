# SPDX-License-Identifier: Apache-2.0
"""One hash that tells whether two datalists hold the same films in the same sections."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from monai_kd.data.datalist import Datalist

__all__ = ["datalist_fingerprint", "section_fingerprints"]


def datalist_fingerprint(datalist: Datalist) -> str:
    """Return the SHA-256 of which picture stands in which section, 64 hexadecimal digits.

    Pictures count by their pixels where the datalist has ``pixel_sha256``, else by their path.
    Labels, regions and the order of items do not matter; so another site's films with the same
    file names are told apart, and a copy of the same films under other names is not.

    Args:
        datalist: any.
    """
    return _hash(datalist, datalist.sections)


def section_fingerprints(datalist: Datalist) -> dict[str, str]:
    """Return :func:`datalist_fingerprint` of each section by itself.

    An archive that grows keeps those of its earlier sections.

    Args:
        datalist: any.
    """
    return {name: _hash(datalist, [name]) for name in datalist.sections}


def _hash(datalist: Datalist, sections: Iterable[str]) -> str:
    lines = sorted(
        f"{name}\t{item.get('pixel_sha256') or item['image']}\n"
        for name in sections
        for item in datalist.sections[name]
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
