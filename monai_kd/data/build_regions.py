# SPDX-License-Identifier: Apache-2.0
"""Regions of a file, joined to the images of an archive while a datalist is built."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from monai_kd.data.archive import AmbiguousNameError, ImageNames
from monai_kd.data.build_records import Record
from monai_kd.data.labels import LabelTable
from monai_kd.data.region_table import RegionTable
from monai_kd.data.regions import regions_to_mask
from monai_kd.utils import MonaiKDError, did_you_mean

__all__ = ["attach_regions"]

_NOTES = {
    "without image": "{} images of the region file are not used here",
    "foreign": "{} regions are of other findings: left out",
    "dropped": "the regions of {} images do not fit them: left out",
    "doubtful": "{} images with a finding have an empty list of regions: taken as not drawn",
}
_NOTHING = re.compile(r"(no|non|normal|healthy|negative)([\W_]|$)", re.IGNORECASE)


def attach_regions(
    records: Sequence[Record],
    drawn: RegionTable,
    names: ImageNames,
    table: LabelTable,
    notes: list[str],
) -> None:
    """Fill in ``regions``; doubtful ones become None (nobody drew) and are counted.

    An empty list is believed (looked, found nothing) unless the image's label says that something
    is there: many files write an empty list for every image that was not drawn on.

    Args:
        records: images; their ``regions`` are set.
        drawn: what the region file says.
        names: files of the archive.
        table: findings.
        notes: receives what was counted.

    Raises:
        MonaiKDError: if names fit no image or several, a finding is unknown, or more than a tenth
            of the drawings do not fit their images.
    """
    by_image = {record.image: record for record in records}
    rename = _finding_names(drawn, table.findings, notes)
    counts = Counter[str]()
    for name, regions in drawn.items():
        try:
            record = by_image.get(names.find(name) or "")
        except AmbiguousNameError:
            counts["ambiguous"] += 1
            continue
        ours = [
            region | {"finding": rename[region["finding"]]}
            for region in regions
            if region["finding"] in rename
        ]
        counts["without image"] += record is None
        if record is not None:
            counts["foreign"] += len(regions) - len(ours)
            if ours or not regions:  # else the expert looked for something else
                counts["misfits"] += not _fits(record, ours, drawn.sizes.get(name), table.findings)
                record.regions = (record.regions or []) + ours
    _refuse_misfits(counts, sum(bool(record.regions) for record in records), len(drawn))
    _believe(records, table, counts)
    notes += [text.format(counts[kind]) for kind, text in _NOTES.items() if counts[kind]]


def _finding_names(
    drawn: RegionTable, findings: Sequence[str], notes: list[str]
) -> dict[Any, str | None]:
    """Return finding by name in the region file, without the names of other findings.

    When no name is one of ours, a single name holds for every finding; several are refused.
    """
    names = {region["finding"] for regions in drawn.values() for region in regions} - {None}
    known = {_plain(finding): finding for finding in findings}
    rename: dict[Any, str | None] = {
        name: known[_plain(name)] for name in names if _plain(name) in known
    }
    if len(names) == 1 and not rename:
        notes.append(f"regions of `{next(iter(names))}` hold for every finding")
        rename = dict.fromkeys(names)
    elif names and not rename:
        foreign = sorted(map(str, names))
        raise MonaiKDError(
            "build_datalist: regions must be of the findings "
            f"{', '.join(findings)}, got {', '.join(foreign[:10])}."
            f"{did_you_mean(foreign[0], findings)} Rename findings with --label-columns "
            "column=name."
        )
    return rename | {None: None}


def _plain(name: Any) -> str:
    return re.sub(r"[\W_]+", "", str(name)).casefold()


def _fits(
    record: Record,
    regions: list[dict[str, Any]],
    stated: tuple[int, int] | None,
    findings: Sequence[str],
) -> bool:
    """Return whether drawings lie in the image; marks the record when not."""
    if not regions or record.size is None:
        return True
    try:
        if stated is not None and stated != record.size:
            raise MonaiKDError("drawn on a picture of another size")
        regions_to_mask(regions, findings, record.size)
    except MonaiKDError:
        record.regions_misfit = True
        return False
    return True


def _refuse_misfits(counts: Counter[str], drawn: int, listed: int) -> None:
    if counts["ambiguous"]:
        raise MonaiKDError(
            "build_datalist: every image name in the region file must fit one file, got "
            f"{counts['ambiguous']} names that fit several. Write paths relative to FOLDER."
        )
    if listed and counts["without image"] == listed:
        raise MonaiKDError(
            f"build_datalist: the region file must name images of the CSV, got {listed} names of "
            "which none fits. Check that it belongs to this archive."
        )
    if counts["misfits"] * 10 > drawn:
        raise MonaiKDError(
            f"build_datalist: drawings must lie in their images, got {counts['misfits']} of "
            f"{drawn} images with drawings outside, or made on a picture of another size. Scale "
            "the coordinates to the pixels of the stored images; boxes are x_min, y_min, x_max, "
            "y_max."
        )


def _believe(records: Sequence[Record], table: LabelTable, counts: Counter[str]) -> None:
    """Turn empty lists that contradict the label, and drawings that do not fit, into None."""
    empty_is_right = _findings_without_drawings(records, table)
    for record in records:
        positives = {number for number, value in enumerate(record.label) if value == 1}
        if record.regions_misfit:
            record.regions = None
            counts["dropped"] += 1
        elif record.regions == [] and positives - empty_is_right:
            record.regions = None
            counts["doubtful"] += 1


def _findings_without_drawings(records: Iterable[Record], table: LabelTable) -> set[int]:
    """Return the classes that mean that nothing is there, such as ``normal``."""
    if not table.exclusive:
        return set()
    shown = {record.label.index(1) for record in records if record.regions and record.is_labeled}
    never = set(range(len(table.findings))) - shown
    if len(never) == 1:
        return never
    return {number for number in never if _NOTHING.match(table.findings[number])}
