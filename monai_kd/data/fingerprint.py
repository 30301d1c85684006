# SPDX-License-Identifier: Apache-2.0
"""One hash that tells whether two datalists hold the same films in the same sections."""

from __future__ import annotations

import hashlib

from monai_kd.data.datalist import Datalist

__all__ = ["datalist_fingerprint"]


def datalist_fingerprint(datalist: Datalist) -> str:
    """Return the SHA-256 of which picture stands in which section, 64 hexadecimal digits.

    Pictures count by their pixels where the datalist has ``pixel_sha256``, else by their path.
    Labels, regions and the order of items do not matter; so another site's films with the same
    file names are told apart, and a copy of the same films under other names is not.

    Args:
        datalist: any.
    """
    lines = sorted(
        f"{name}\t{item.get('pixel_sha256') or item['image']}\n"
        for name, items in datalist.sections.items()
        for item in items
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
