# SPDX-License-Identifier: Apache-2.0
"""Image labels from CSV: one column of classes, or one column of 0, 1 and blanks per finding."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from monai_kd.data.datalist_problems import is_section
from monai_kd.data.tables import IMAGE_COLUMNS, Table, first_known, is_blank, read_table
from monai_kd.utils import MonaiKDError, did_you_mean

__all__ = ["Label", "LabelColumns", "LabelRow", "LabelTable", "read_labels"]

Label: TypeAlias = "list[int | None]"

_CLASS_COLUMNS = ("label_name", "class_name", "label", "class", "diagnosis", "finding")
_PATIENT_COLUMNS = ("patient_id", "patient", "PatientID", "Patient ID")
_YES_NO = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": None, "-1.0": None}
_SECTIONS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "testing": "test", "labelled": "labeled",
}  # fmt: skip


@dataclass(frozen=True)
class LabelColumns:
    """Which columns of the CSV mean what; ``auto`` guesses from usual names.

    Attributes:
        image: image names (relative path, file name, or file name without ending).
        labels: one column of class names (exclusive findings), or columns of 1, 0 and blank or -1
            (unknown); ``column=name`` renames a finding. Empty: ``label_name`` or a like column.
        patient: patient identity; ``auto`` may find none.
        split: column that already says train, validation or test (or ``labeled``,
            ``unlabeled_1``); empty: patients are dealt anew.
        keep: columns of free metadata that are copied to the items when they are there.
        exclusive: whether exactly one of several columns of 1 and 0 holds per image; one column of
            class names always is.
    """

    image: str = "auto"
    labels: tuple[str, ...] = ()
    patient: str = "auto"
    split: str = ""
    keep: tuple[str, ...] = ("sex", "age", "view", "site")
    exclusive: bool = False


class LabelRow(NamedTuple):
    """One line of the table.

    Attributes:
        image: image name as written.
        label: 1, 0 or None per finding.
        patient: patient identity as written, or empty.
        section: ``train``, a section of the datalist, or empty.
        extra: lung mask and free metadata.
    """

    image: str
    label: Label
    patient: str
    section: str
    extra: dict[str, str]


class LabelTable(NamedTuple):
    """Findings, and what the table says of each image.

    Attributes:
        findings: names, in the order of ``label``.
        exclusive: whether they come from one column of classes.
        rows: lines of the table.
    """

    findings: list[str]
    exclusive: bool
    rows: list[LabelRow]


def read_labels(
    path: str | os.PathLike[str],
    columns: LabelColumns = LabelColumns(),
) -> LabelTable:
    """Read the labels of images.

    Args:
        path: CSV with a header.
        columns: which columns mean what.

    Raises:
        MonaiKDError: if a column is missing, or a cell is not what its column promises.
    """
    table = read_table(Path(path), "read_labels")
    image = _column(table, "image", columns.image, IMAGE_COLUMNS)
    if image is None:
        raise MonaiKDError(
            "read_labels: the CSV must have a column of image names, got "
            f"{', '.join(table.columns[:20])}.{did_you_mean('image', table.columns)} "
            "Name it with --image-column."
        )
    patient = _column(table, "patient", columns.patient, _PATIENT_COLUMNS)
    split = _column(table, "split", columns.split, ()) if columns.split else None
    findings, exclusive, labels = _labels(table, columns)
    rows = [
        LabelRow(
            image=row[image],
            label=label,
            patient="" if patient is None or is_blank(row[patient]) else row[patient].strip(),
            section="" if split is None else _section(row[split], number),
            extra=_extra(row, columns.keep),
        )
        for number, (row, label) in enumerate(zip(table.rows, labels, strict=True), start=1)
        if not is_blank(row[image])
    ]
    return LabelTable(findings, exclusive, rows)


_OPTIONS = {"label": "label-columns"}


def _column(table: Table, what: str, name: str, guesses: Sequence[str]) -> str | None:
    if name == "auto":
        return first_known(guesses, table.columns)
    if name not in table.columns:
        raise MonaiKDError(
            f"read_labels: --{_OPTIONS.get(what, what + '-column')} must be a column of the CSV "
            f"({', '.join(table.columns[:20])}), got {name!r}.{did_you_mean(name, table.columns)}"
        )
    return name


def _labels(table: Table, asked: LabelColumns) -> tuple[list[str], bool, list[Label]]:
    pairs = [one.partition("=") for one in asked.labels] or [(_guess_class(table), "", "")]
    columns = [column.strip() for column, _, _ in pairs]
    for column in columns:
        _column(table, "label", column, ())
    if len(columns) == 1 and not _is_yes_no([row[columns[0]] for row in table.rows]):
        return _classes([row[columns[0]] for row in table.rows], columns[0])
    names = [name.strip() or column.strip() for column, _, name in pairs]
    per_finding = [
        [_yes_no(row[column], number, column) for number, row in enumerate(table.rows, start=1)]
        for column in columns
    ]
    labels: list[Label] = [list(label) for label in zip(*per_finding, strict=True)]
    if asked.exclusive:
        _check_one_hot(labels)
    return names, asked.exclusive, labels


def _check_one_hot(labels: Sequence[Label]) -> None:
    wrong = sum(
        any(value is not None for value in label)
        and (label.count(1) != 1 or label.count(0) != len(label) - 1)
        for label in labels
    )
    if wrong:
        raise MonaiKDError(
            "read_labels: exclusive columns must have exactly one 1 and otherwise 0 per row, or be "
            f"all blank, got {wrong} other rows. Mend them, or leave out --exclusive."
        )


def _guess_class(table: Table) -> str:
    column = first_known(_CLASS_COLUMNS, table.columns)
    if column is None:
        likely = [one for one in table.columns if _is_yes_no([row[one] for row in table.rows])]
        hint = f" (of 0 and 1 are: {', '.join(likely[:20])})" if likely else ""
        raise MonaiKDError(
            "read_labels: the CSV must have a column of labels (label_name, label, ...), got "
            f"{', '.join(table.columns[:20])}. Name one or more with --label-columns{hint}."
        )
    return column


def _is_yes_no(cells: Sequence[str]) -> bool:
    return all(is_blank(cell) or cell.strip() in _YES_NO for cell in cells)


def _yes_no(cell: str, number: int, column: str) -> int | None:
    if is_blank(cell):
        return None
    if cell.strip() not in _YES_NO:
        raise MonaiKDError(
            f"read_labels: CSV row {number}: `{column}` must be 1, 0, or blank or -1 (unknown), "
            "got other text. A column of class names must be the only one in --label-columns."
        )
    return _YES_NO[cell.strip()]


def _classes(cells: Sequence[str], column: str) -> tuple[list[str], bool, list[Label]]:
    names = sorted({cell.strip() for cell in cells if not is_blank(cell)})
    if not 2 <= len(names) <= 100:
        raise MonaiKDError(
            f"read_labels: `{column}` must hold 2 to 100 classes, got {len(names)}. Name the right "
            "column with --label-columns."
        )
    labels: list[Label] = [
        [None] * len(names) if is_blank(cell) else [int(cell.strip() == name) for name in names]
        for cell in cells
    ]
    return names, True, labels


def _section(cell: str, number: int) -> str:
    value = cell.strip().lower().replace("unlabelled", "unlabeled")
    if is_section(value):
        return value
    if value not in _SECTIONS:
        near = did_you_mean(value, [*_SECTIONS, "test", "labeled"])
        raise MonaiKDError(
            f"read_labels: CSV row {number}: the split column must say train, validation, test, "
            f"labeled or unlabeled_1, ..., got other text.{near}"
        )
    return _SECTIONS[value]


def _extra(row: Mapping[str, str], keep: Sequence[str]) -> dict[str, str]:
    known = {name.lower(): name for name in row}
    return {
        name.lower(): row[known[name.lower()]].strip()
        for name in ("lung_mask", *keep)
        if name.lower() in known and not is_blank(row[known[name.lower()]])
    }
