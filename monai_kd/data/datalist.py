# SPDX-License-Identifier: Apache-2.0
"""A datalist: which images, which labels, which regions, in which section of the experiment.

JSON in MONAI's layout (section name -> list of items) with a header; ``datalist_schema.json`` says
what an item may hold, ``unlabeled_1`` ... ``unlabeled_n`` are the rounds of self-evolution.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_kd.data.datalist_problems import (
    REGION_KEYS,
    datalist_problems,
    is_section,
    missing_files,
)
from monai_kd.utils import MonaiKDError, did_you_mean, write_text_atomically

__all__ = [
    "Datalist",
    "DatalistError",
    "load_datalist",
    "may_draw_phantom",
    "open_datalist",
    "save_datalist",
    "sha256_of_sections",
]

_MAX_PROBLEMS = 20


class DatalistError(MonaiKDError):
    """A datalist that cannot be used, with all that is wrong with it."""


@dataclass
class Datalist:
    """Findings, and items by section.

    Attributes:
        findings: names of the C findings, in the order of ``label``.
        exclusive: whether exactly one finding holds per image (softmax) or each may (sigmoid).
        sections: items by section, with paths relative to ``root``.
        root: folder that the paths start from.
        info: further header entries, kept when the datalist is saved.
    """

    findings: list[str]
    exclusive: bool
    sections: dict[str, list[dict[str, Any]]]
    root: Path
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def activation(self) -> str:
        """``softmax`` for exclusive findings, ``sigmoid`` for independent ones."""
        return "softmax" if self.exclusive else "sigmoid"

    @property
    def rounds(self) -> list[str]:
        """Names of the unlabeled sections, in order."""
        names = [name for name in self.sections if name.startswith("unlabeled_")]
        return sorted(names, key=lambda name: int(name.removeprefix("unlabeled_")))

    def section(self, name: str) -> list[dict[str, Any]]:
        """Return copies of a section's items, ready to load.

        Paths of images and masks are absolute, ``regions`` is always there (null when absent), and
        ``item`` says which item it is without naming its file, for error messages.

        Args:
            name: ``labeled``, ``unlabeled_1``, ..., ``validation`` or ``test``.

        Raises:
            DatalistError: if the datalist has no such section.
        """
        if name not in self.sections:
            raise DatalistError(
                f"Datalist: `section` must be one of {', '.join(self.sections)}, got {name!r}."
                f"{did_you_mean(name, self.sections)}"
            )
        return [
            _with_paths(item, self.root) | {"item": f"section {name}, item {number}"}
            for number, item in enumerate(self.sections[name])
        ]

    def with_findings(self, findings: Sequence[str]) -> Datalist:
        """Return this datalist with its labels in another order, that of a trained model.

        Args:
            findings: names in the order that is wanted.

        Raises:
            DatalistError: if these are not the findings of this datalist.
        """
        if sorted(findings) != sorted(self.findings):
            raise DatalistError(
                f"Datalist: the findings must be those of the model, {', '.join(findings)}, got "
                f"{', '.join(self.findings)}. Build the datalist with the same label columns."
            )
        order = [self.findings.index(name) for name in findings]
        sections = {
            name: [item | {"label": [item["label"][column] for column in order]} for item in items]
            for name, items in self.sections.items()
        }
        return replace(self, findings=list(findings), sections=sections)


def load_datalist(path: str | os.PathLike[str], *, check_files: bool = True) -> Datalist:
    """Read a datalist and check every item.

    Args:
        path: JSON file; the paths in it are relative to its folder.
        check_files: whether the files that it names must exist.

    Raises:
        DatalistError: if anything is wrong; the message lists up to 20 problems by section and item
            number (counted from 0), never by file name.
    """
    file = Path(path)
    content = _read_json(file)
    problems = datalist_problems(content)
    if not problems and check_files:
        problems = missing_files(content, file.parent)
    if not problems and content.get("sha256", "") not in ("", sha256_of_sections(content)):
        problems = [
            "`sha256` must be that of the file list, got another: images were added, removed or "
            "moved between sections by hand. Build it again, or delete the `sha256` entry."
        ]
    if problems:
        shown = "".join(f"\n  - {problem}" for problem in problems[:_MAX_PROBLEMS])
        more = len(problems) - _MAX_PROBLEMS
        rest = f"\n  - and {more} more." if more > 0 else ""
        raise DatalistError(
            "load_datalist: the datalist must be free of problems, got "
            f"{len(problems)}:{shown}{rest}"
        )
    return Datalist(
        findings=content["findings"],
        exclusive=content["exclusive"],
        sections={name: items for name, items in content.items() if is_section(name)},
        root=file.parent.absolute(),
        info={
            key: value
            for key, value in content.items()
            if key not in ("findings", "exclusive", "sha256") and not is_section(key)
        },
    )


def save_datalist(datalist: Datalist, path: str | os.PathLike[str]) -> Path:
    """Write a datalist, whole or not at all, one item per line.

    Args:
        datalist: what to write; its paths are rewritten relative to the file's folder.
        path: JSON file.

    Returns:
        The file.
    """
    file = Path(path)
    sections = {
        name: [_moved(item, datalist.root, file.parent) for item in items]
        for name, items in datalist.sections.items()
    }
    header = {
        "findings": datalist.findings,
        "exclusive": datalist.exclusive,
        "sha256": sha256_of_sections(sections),
        **datalist.info,
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in header.items()]
    for name, items in sections.items():
        lines = ",\n".join(json.dumps(item) for item in items)
        parts.append(f"{json.dumps(name)}: [\n{lines}\n]")
    write_text_atomically(file, "{\n" + ",\n".join(parts) + "\n}\n")
    return file


def sha256_of_sections(sections: dict[str, Any]) -> str:
    """Return the SHA-256 of the file list: the sorted lines ``section<TAB>image``.

    Args:
        sections: items by section; other entries are ignored.
    """
    lines = sorted(
        f"{name}\t{item['image']}\n"
        for name, items in sections.items()
        if is_section(name)
        for item in items
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def open_datalist(dataset_dir: str | os.PathLike[str], *, task: str = "opacity") -> Datalist:
    """Load ``datalist.json`` of a folder; a new folder named ``phantom`` is drawn.

    Args:
        dataset_dir: folder with ``datalist.json``, or one that :func:`may_draw_phantom`.
        task: what is drawn, see :func:`monai_kd.data.phantom.draw_phantom_archive`.

    Raises:
        DatalistError: if the folder has no datalist, or one that is wrong.
    """
    folder = Path(dataset_dir)
    file = folder / "datalist.json"
    if not file.exists() and may_draw_phantom(folder):
        from monai_kd.data.phantom import draw_phantom_archive

        draw_phantom_archive(folder, task=task)
    if not file.exists():
        raise DatalistError(
            "open_datalist: `dataset_dir` must hold datalist.json, got a folder without. Build it "
            "with `python -m monai_kd datalist FOLDER --labels CSV`. (The phantom archive is drawn "
            "only into a folder named `phantom` that is missing or empty.)"
        )
    return load_datalist(file)


def may_draw_phantom(folder: Path) -> bool:
    """Return whether the phantom archive may be drawn into a folder.

    It must be named ``phantom`` and be missing, empty (hidden files aside), or carry the mark of an
    archive whose drawing was cut short. Nobody's own films get drawn ones among them.

    Args:
        folder: where to draw.
    """
    if folder.name != "phantom":
        return False
    if not folder.exists() or (folder / "phantom.json").exists():
        return True
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DatalistError(
            "load_datalist: the file must exist, got none. Check its path."
        ) from None
    except json.JSONDecodeError as error:
        raise DatalistError(
            f"load_datalist: the file must be JSON, got a mistake at line {error.lineno}, column "
            f"{error.colno}: {error.msg}."
        ) from None
    if not isinstance(content, dict):
        raise DatalistError("load_datalist: the file must hold a JSON object, got something else.")
    return content


def _with_paths(item: dict[str, Any], root: Path) -> dict[str, Any]:
    return {"regions": None} | _map_paths(item, lambda path: str(root / path))


def _moved(item: dict[str, Any], old: Path, new: Path) -> dict[str, Any]:
    return _map_paths(item, lambda path: _relative(old / path, new))


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


def _map_paths(item: dict[str, Any], change: Any) -> dict[str, Any]:
    out = dict(item)
    for key in ("image", "lung_mask"):
        if out.get(key):
            out[key] = change(out[key])
    for key in REGION_KEYS:
        if out.get(key):
            out[key] = [
                region | {"mask": change(region["mask"])} if region.get("mask") else dict(region)
                for region in out[key]
            ]
    return out
