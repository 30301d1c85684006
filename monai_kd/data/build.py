# SPDX-License-Identifier: Apache-2.0
"""From a folder of radiographs and a table of labels to a datalist that cannot leak.

Patients, and pictures that are copies of each other, stay together. What could not be used is
counted in the header's ``built`` entry, in words that hold no file name.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_kd.data.archive import ImageNames, scan_archive
from monai_kd.data.build_records import Record, join_rows, read_pictures
from monai_kd.data.build_regions import attach_regions
from monai_kd.data.datalist import Datalist
from monai_kd.data.labels import LabelColumns, LabelTable, read_labels
from monai_kd.data.leaks import refuse_leaks
from monai_kd.data.region_formats import read_regions
from monai_kd.data.splits import SplitSettings, check_sections, deal_evenly, split_patients
from monai_kd.utils import MonaiKDError

__all__ = ["build_datalist", "read_salt"]

logger = logging.getLogger(__name__)


def build_datalist(
    folder: str | os.PathLike[str],
    labels_csv: str | os.PathLike[str],
    *,
    regions: str | os.PathLike[str] | None = None,
    settings: SplitSettings = SplitSettings(),  # noqa: B008  # frozen
    columns: LabelColumns = LabelColumns(),  # noqa: B008  # frozen
    salt: bytes | None = None,
    use_unlisted: bool = False,
    hash_pixels: Callable[[Path], str] | None = None,
) -> Datalist:
    """Join images, labels and regions, and deal patients into sections.

    Unlabeled items carry no label and no regions. Images whose labels are all unknown go to the
    unlabeled sections only.

    Args:
        folder: archive of DICOM, PNG, JPEG or NIfTI files, with any folders below it.
        labels_csv: see :class:`monai_kd.data.labels.LabelColumns`.
        regions: file that :func:`monai_kd.data.read_regions` reads; None: nobody drew.
        settings: shares of patients per section.
        columns: which columns of the CSV mean what.
        salt: secret that ids are hashed with; None: a random one that nobody keeps.
        use_unlisted: put images without a row in the CSV into the unlabeled sections; otherwise
            they are left out and counted.
        hash_pixels: hash of an image's stored pixels; None: that of the radiograph reader.

    Returns:
        The datalist, with paths relative to ``folder``; not yet written.

    Raises:
        MonaiKDError: if nothing matches, an image name is ambiguous, two rows contradict each
            other, a section lacks a finding, or a given split leaks.
    """
    files = scan_archive(folder)
    table = read_labels(labels_csv, columns)
    notes: list[str] = []
    records = join_rows(table, files, notes, use_unlisted=use_unlisted)
    records = read_pictures(records, Path(folder), notes, hash_pixels=hash_pixels)
    _say_unknown_patients(records, notes)
    if regions is not None:
        drawn = read_regions(regions)
        attach_regions(records, drawn, ImageNames(files), table, notes)
    sections = _deal(records, table, settings, notes)
    key = secrets.token_bytes(32) if salt is None else salt
    datalist = Datalist(
        findings=table.findings,
        exclusive=table.exclusive,
        sections=_items(sections, settings, key),
        root=Path(folder).absolute(),
        info={"built": _built(sections, settings, notes)},
    )
    refuse_leaks(datalist)
    check_sections(datalist.sections, datalist.findings)
    return datalist


def read_salt(path: str | os.PathLike[str]) -> bytes:
    """Read the secret that makes ids repeatable; make one that only its owner reads when absent.

    Args:
        path: file of at least 16 bytes. Keep it as safe as the archive: with it, ids can be
            recomputed from names.

    Raises:
        MonaiKDError: if the file is too short to be a secret.
    """
    file = Path(path)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as new:
            new.write(secrets.token_hex(32).encode())
    salt = file.read_bytes().strip()
    if len(salt) < 16:
        raise MonaiKDError(
            f"read_salt: the salt file must hold at least 16 bytes, got {len(salt)}. Delete it and "
            "let the command make one."
        )
    return salt


def _built(
    sections: Mapping[str, list[Record]], settings: SplitSettings, notes: list[str]
) -> dict[str, Any]:
    """What the header says of how the datalist was made."""
    unknown = sum(not record.patient for members in sections.values() for record in members)
    return {"settings": asdict(settings), "notes": notes, "images_without_patient": unknown}


def _say_unknown_patients(records: Iterable[Record], notes: list[str]) -> None:
    unknown = sum(not record.patient for record in records)
    if unknown:
        notes.append(
            f"{unknown} images have no patient id: each counts as its own patient, so that leakage "
            "between sections cannot be excluded"
        )
        logger.warning("build_datalist: %s.", notes[-1])


def _deal(
    records: list[Record], table: LabelTable, settings: SplitSettings, notes: list[str]
) -> dict[str, list[Record]]:
    groups = _groups(records, notes)
    dealt = _dealt_groups(groups, settings)
    order = [*SplitSettings.shares(settings), *sorted({r.section for r in records} - {"", "train"})]
    sections: dict[str, list[Record]] = {name: [] for name in dict.fromkeys(order)}
    left_out = 0
    for record in sorted(records, key=lambda record: record.image):
        fixed = record.section not in ("", "train")
        section = record.section if fixed else dealt.get(record.group, "")
        if section.startswith("unlabeled_") or (section and record.is_labeled):
            sections[section].append(record)
        else:
            left_out += 1
    if left_out:
        notes.append(
            f"{left_out} images without any label are left out: their patients stand in a labeled "
            "section, or there is no unlabeled one"
        )
    return {name: members for name, members in sections.items() if members}


def _groups(records: list[Record], notes: list[str]) -> dict[str, list[Record]]:
    """Join records that share a patient or a picture; the smallest patient key names the group."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    owner: dict[str, str] = {}
    copies = 0
    for record in sorted(records, key=lambda record: record.image):
        key = root(record.patient_key)
        other = root(owner.setdefault(record.pixel_sha256, key))
        copies += other != key
        parent[max(key, other)] = min(key, other)
    if copies:
        notes.append(f"{copies} pictures are copies across patients: those patients stay together")
    groups: dict[str, list[Record]] = {}
    for record in records:
        record.group = root(record.patient_key)
        groups.setdefault(record.group, []).append(record)
    return groups


def _dealt_groups(groups: Mapping[str, list[Record]], settings: SplitSettings) -> dict[str, str]:
    """Return the section of every group that has images to deal."""
    labeled: dict[str, dict[str, list[int]]] = {"": {}, "train": {}}
    unknown: list[str] = []
    for group, members in groups.items():
        free = [record for record in members if record.section in ("", "train")]
        positives = [
            number for record in free for number, value in enumerate(record.label) if value == 1
        ]
        if any(record.is_labeled for record in free):
            kind = "train" if any(record.section == "train" for record in free) else ""
            labeled[kind][group] = positives
        elif free:
            unknown.append(group)
    dealt = split_patients(labeled[""], settings.shares(), seed=settings.seed)
    dealt |= split_patients(labeled["train"], settings.shares(train_only=True), seed=settings.seed)
    rounds = [f"unlabeled_{number}" for number in range(1, settings.rounds + 1)]
    return dealt | (deal_evenly(unknown, rounds, seed=settings.seed) if rounds else {})


def _items(
    sections: Mapping[str, list[Record]], settings: SplitSettings, salt: bytes
) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [
            record.item(
                hidden=name.startswith("unlabeled_"),
                keep_hidden_label=settings.keep_hidden_labels,
                salted=lambda text: hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:20],
            )
            for record in members
        ]
        for name, members in sections.items()
    }
