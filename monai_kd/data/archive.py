# SPDX-License-Identifier: Apache-2.0
"""A folder of radiographs: which files it holds, which one a table means, what a header says."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from monai_kd.utils import MonaiKDError

__all__ = ["AmbiguousNameError", "Header", "ImageNames", "read_header", "scan_archive"]

_log = logging.getLogger(__name__)
_ENDINGS = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".nii.gz", ".nii")


class AmbiguousNameError(MonaiKDError):
    """An image name that fits several files."""


class Header(NamedTuple):
    """What a build needs to know of an image without decoding it.

    Attributes:
        size: ``(rows, columns)``, or None when the header does not say.
        patient: patient identity as stored, or empty; it is hashed and dropped at once.
    """

    size: tuple[int, int] | None = None
    patient: str = ""


class ImageNames:
    """Finds the file that a table means by a relative path, a file name, or a name without ending.

    Args:
        files: paths relative to the archive, with forward slashes.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self.files = set(files)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in sorted(self.files):
            name = file.rpartition("/")[2]
            self._by_name[name].append(file)
            self._by_stem[_stem(name)].append(file)

    def find(self, name: str) -> str | None:
        """Return the archive's file for ``name``, or None when there is none.

        Args:
            name: as the table writes it.

        Raises:
            AmbiguousNameError: if several files fit.
        """
        path = name.strip().replace("\\", "/").removeprefix("./")
        if path in self.files:
            return path
        last = path.rpartition("/")[2]
        candidates = self._by_name.get(last) or self._by_stem.get(_stem(last)) or []
        if len(candidates) > 1:
            wanted = _stem(path)
            candidates = [one for one in candidates if _stem(f"/{one}").endswith(f"/{wanted}")]
            if len(candidates) != 1:
                raise AmbiguousNameError(
                    "ImageNames: an image name must fit one file, got several files. Write paths "
                    "relative to the archive's folder."
                )
        return candidates[0] if candidates else None


def scan_archive(folder: str | os.PathLike[str]) -> list[str]:
    """List the radiographs below a folder, sorted, relative to it.

    DICOM, PNG, JPEG and NIfTI are known by their ending; a file without ending counts when it
    starts as DICOM files do. Hidden files and folders, and ``DICOMDIR``, are left out. Files
    without ending that cannot be read (dangling links) are left out and counted in the log.

    Args:
        folder: the archive.

    Raises:
        MonaiKDError: if there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MonaiKDError("scan_archive: FOLDER must exist, got none. Check its path.")
    found, unreadable = [], 0
    for path in _visible_files(root):
        try:
            if _is_image(path):
                found.append(path.relative_to(root).as_posix())
        except OSError:
            unreadable += 1
    if unreadable:
        _log.warning("scan_archive: %d files cannot be read and are left out.", unreadable)
    return sorted(found)


def read_header(path: Path) -> Header:
    """Read size and patient identity without decoding the picture.

    Args:
        path: an image file; one that cannot be read gives an empty header.
    """
    ending = _ending(path.name)
    try:
        if ending in (".png", ".jpg", ".jpeg"):
            return _picture_header(path)
        return Header() if ending.startswith(".nii") else _dicom_header(path)
    except Exception:  # a damaged file is said when its pixels are read
        return Header()


def _picture_header(path: Path) -> Header:
    from PIL import Image

    with Image.open(path) as picture:
        return Header((picture.height, picture.width))


def _dicom_header(path: Path) -> Header:
    import pydicom

    tags = ["Rows", "Columns", "PatientID"]
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    size = (int(header.Rows), int(header.Columns)) if "Rows" in header else None
    return Header(size, str(header.get("PatientID", "") or "").strip())


def _visible_files(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in names if not name.startswith("."))


def _is_image(path: Path) -> bool:
    if _ending(path.name):
        return True
    if path.suffix or path.name == "DICOMDIR":
        return False
    if path.exists() and not path.is_file():  # a pipe would be waited for
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _ending(name: str) -> str:
    return next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")


def _stem(name: str) -> str:
    ending = _ending(name)
    return name[: -len(ending)] if ending else name
