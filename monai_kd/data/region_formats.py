# SPDX-License-Identifier: Apache-2.0
"""Region files of many formats behind one call; a new format is one entry of ``REGION_FORMATS``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from monai_kd.data.region_coco import read_coco_regions
from monai_kd.data.region_csv import read_csv_regions
from monai_kd.data.region_table import RegionTable
from monai_kd.utils import MonaiKDError, check_choice

__all__ = ["REGION_FORMATS", "RegionFormat", "read_regions"]


class RegionFormat(NamedTuple):
    """How one kind of region file is recognized and read.

    Attributes:
        suffixes: file endings, lower case.
        read: turns a path into a :class:`RegionTable`.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path], RegionTable]


REGION_FORMATS: dict[str, RegionFormat] = {
    "coco": RegionFormat((".json",), read_coco_regions),
    "csv": RegionFormat((".csv",), read_csv_regions),
}


def read_regions(path: str | os.PathLike[str], format: Any = "auto") -> RegionTable:  # noqa: A002
    """Read drawn regions: image file name -> list of regions.

    An image that the file lists without a drawing has an empty list (looked, found nothing); an
    image that it does not list is not in the result (nobody drew).

    Args:
        path: COCO JSON or CSV, see :mod:`monai_kd.data.region_coco` and
            :mod:`monai_kd.data.region_csv`.
        format: a name in ``REGION_FORMATS``, or ``auto``: by the ending of ``path``.

    Returns:
        The regions under the image names that the file uses, with the image sizes it states.

    Raises:
        ValueError: if ``format`` is unknown.
        MonaiKDError: if the file does not exist or does not hold what its format promises.
    """
    file = Path(path)
    check_choice("read_regions", "format", format, ["auto", *REGION_FORMATS])
    if not file.is_file():
        raise MonaiKDError("read_regions: the region file must exist, got none. Check its path.")
    name = format if format != "auto" else _format_of(file)
    return REGION_FORMATS[name].read(file)


def _format_of(file: Path) -> str:
    for name, known in REGION_FORMATS.items():
        if file.suffix.lower() in known.suffixes:
            return name
    endings = ", ".join(suffix for known in REGION_FORMATS.values() for suffix in known.suffixes)
    raise MonaiKDError(
        f"read_regions: the region file must end in {endings}, got another ending. "
        "Say what it is through `format`."
    )
