# SPDX-License-Identifier: Apache-2.0
"""What every region reader returns."""

from __future__ import annotations

from typing import Any

__all__ = ["RegionTable"]


class RegionTable(dict[str, list[dict[str, Any]]]):
    """Image file name -> regions, as one region file tells it.

    Attributes:
        sizes: image file name -> ``(rows, columns)`` of the picture the regions were drawn on,
            where the file says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, tuple[int, int]] = {}
