# SPDX-License-Identifier: Apache-2.0
"""One record per image while a datalist is built: table row, header and pixels joined."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_kd.data.archive import AmbiguousNameError, Header, ImageNames, read_header
from monai_kd.data.labels import Label, LabelRow, LabelTable
from monai_kd.utils import MonaiKDError

__all__ = ["Record", "join_rows", "read_pictures"]


@dataclass
class Record:
    """An image on its way into a datalist; holds names, so it never leaves the build.

    Attributes:
        image: path relative to the archive.
        label: 1, 0 or None per finding.
        patient: patient identity in clear, or empty.
        section: section that the table asks for, ``train``, or empty.
        extra: lung mask and free metadata.
        size: ``(rows, columns)`` when the header says so.
        pixel_sha256: hash of the stored pixels.
        regions: what was drawn; None: nobody drew.
        regions_misfit: whether a drawing lies outside, or was made on another size.
        group: patients that must stay together.
    """

    image: str
    label: Label
    patient: str = ""
    section: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    pixel_sha256: str = ""
    regions: list[dict[str, Any]] | None = None
    regions_misfit: bool = False
    group: str = ""

    @property
    def is_labeled(self) -> bool:
        """Whether anything is known of any finding."""
        return any(value is not None for value in self.label)

    @property
    def patient_key(self) -> str:
        """Identity of the patient; an image without one is its own patient."""
        return f"patient:{self.patient}" if self.patient else f"image:{self.image}"

    def item(
        self, *, hidden: bool, keep_hidden_label: bool, salted: Callable[[str], str]
    ) -> dict[str, Any]:
        """Return the datalist's item, without names of patients.

        Args:
            hidden: whether the item is unlabeled: no label, no regions.
            keep_hidden_label: keep the label of a hidden item under ``hidden_label``.
            salted: one-way function that turns a name into an id.
        """
        item: dict[str, Any] = {
            "image": self.image,
            "label": [None] * len(self.label) if hidden else self.label,
            "regions": None if hidden else self.regions,
            "patient_id": salted(self.patient_key),
            "id": salted(f"image:{self.image}:file"),
            "pixel_sha256": self.pixel_sha256,
            **self.extra,
        }
        return item | ({"hidden_label": self.label} if hidden and keep_hidden_label else {})


def join_rows(
    table: LabelTable, files: Sequence[str], notes: list[str], *, use_unlisted: bool
) -> list[Record]:
    """Find the file of every row; count rows and images that have no partner.

    Args:
        table: rows of labels.
        files: images of the archive, relative to it.
        notes: receives what was counted.
        use_unlisted: make records without labels of images that no row names.

    Raises:
        MonaiKDError: if no row has an image, names fit several files, or rows contradict.
    """
    names = ImageNames(files)
    masks = {row.extra["lung_mask"] for row in table.rows if "lung_mask" in row.extra}
    records: dict[str, Record] = {}
    counts = Counter[str]()
    for row in table.rows:
        try:
            file = names.find(row.image)
        except AmbiguousNameError:
            counts["ambiguous"] += 1
            continue
        counts["without image"] += file is None
        if file is not None:
            counts["contradicting"] += not _add(records, file, row)
    _refuse_bad_rows(counts, found=len(records), files=len(files))
    for record in records.values():
        _resolve_lung_mask(record, names, counts)
    unlisted = [file for file in files if file not in records and file not in masks]
    if use_unlisted:
        unknown: Label = [None] * len(table.findings)
        records |= {file: Record(file, list(unknown)) for file in unlisted}
    _note_partners(counts, notes, unlisted=len(unlisted), use_unlisted=use_unlisted)
    return list(records.values())


def read_pictures(
    records: Iterable[Record],
    folder: Path,
    notes: list[str],
    *,
    hash_pixels: Callable[[Path], str] | None,
) -> list[Record]:
    """Fill in size, pixel hash and the header's patient; leave out what cannot be read.

    Args:
        records: images to read, relative to ``folder``.
        folder: the archive.
        notes: receives how many were left out, and why.
        hash_pixels: hash of stored pixels; None: that of the radiograph reader.

    Raises:
        MonaiKDError: if no image can be read.
    """
    from tqdm import tqdm

    hash_file = hash_pixels or _reader_hash()
    wanted = list(records)

    def read(record: Record) -> tuple[Header, str, str]:
        path = folder / record.image
        try:
            return read_header(path), hash_file(path), ""
        except (MonaiKDError, OSError, ValueError) as error:
            known = isinstance(error, MonaiKDError)
            return Header(), "", str(error) if known else "the file cannot be decoded."

    reasons = Counter[str]()
    kept = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(read, wanted)
        bar = tqdm(
            zip(wanted, results, strict=True), "reading images", len(wanted), disable=None
        )  # quiet when not a terminal
        for record, (header, pixel_sha256, reason) in bar:
            if reason:
                reasons[reason] += 1
                continue
            record.size, record.pixel_sha256 = header.size, pixel_sha256
            record.patient = record.patient or header.patient
            kept.append(record)
    notes += [f"{count} images are left out: {why}" for why, count in reasons.most_common(10)]
    if not kept:
        raise MonaiKDError(
            f"build_datalist: at least one image must be readable, got {sum(reasons.values())} "
            f"that are not. The first reason: {next(iter(reasons), 'no image was listed')}"
        )
    return kept


def _reader_hash() -> Callable[[Path], str]:
    from monai_kd.data.radiograph import stored_pixels_sha256

    return stored_pixels_sha256


def _add(records: dict[str, Record], file: str, row: LabelRow) -> bool:
    """Add a row's record, or merge it with an equal one; False when they contradict."""
    new = Record(file, row.label, row.patient, row.section, dict(row.extra))
    old = records.setdefault(file, new)
    return (old.label, old.patient, old.section) == (new.label, new.patient, new.section)


def _resolve_lung_mask(record: Record, names: ImageNames, counts: Counter[str]) -> None:
    mask = record.extra.pop("lung_mask", None)
    if mask is None:
        return
    if mask in names.files:
        record.extra["lung_mask"] = mask
    else:
        counts["lung masks"] += 1


def _refuse_bad_rows(counts: Counter[str], *, found: int, files: int) -> None:
    if counts["ambiguous"]:
        raise MonaiKDError(
            "build_datalist: every image name in the CSV must fit one file, got "
            f"{counts['ambiguous']} names that fit several. Write paths relative to FOLDER."
        )
    if counts["contradicting"]:
        raise MonaiKDError(
            "build_datalist: rows of the same image must agree, got "
            f"{counts['contradicting']} rows with another label, patient or split. Mend the CSV."
        )
    if not found:
        raise MonaiKDError(
            f"build_datalist: the CSV must name images below FOLDER, got {counts['without image']} "
            f"rows of which none fits one of its {files} images. Check FOLDER and --image-column."
        )


def _note_partners(
    counts: Counter[str], notes: list[str], *, unlisted: int, use_unlisted: bool
) -> None:
    if counts["without image"]:
        notes.append(f"{counts['without image']} rows of the CSV have no image in the folder")
    if counts["lung masks"]:
        notes.append(f"{counts['lung masks']} lung masks are named but not there")
    if unlisted and use_unlisted:
        notes.append(f"{unlisted} images have no row in the CSV: used as unlabeled")
    elif unlisted:
        notes.append(
            f"{unlisted} images have no row in the CSV: left out (--use-unlisted takes them as "
            "unlabeled)"
        )
