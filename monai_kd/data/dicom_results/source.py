# SPDX-License-Identifier: Apache-2.0
"""The film that was looked at: its pixels, what refers to it, and whose it is.

Whose it is (patient and study) is copied byte by byte into each result and never looked at: no
library gets to see, check, or complain about a name.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import format_number_as_ds

from monai_kd.data.dicom import read_dicom
from monai_kd.data.dicom_rules import numbers, text
from monai_kd.data.lookup import Rendering, StoredPicture, render
from monai_kd.utils import MonaiKDError

__all__ = ["SourceFilm", "read_source"]

UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
KINDS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)
VALID_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
LONGEST_UID = 64
EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
STUDY = frozenset(
    Tag(keyword)
    for keyword in (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        "StudyID",
    )
)
OF_A_SERIES = frozenset((Tag(0x0012, 0x0071), Tag(0x0012, 0x0072)))
PATIENT_GROUPS = (0x0010, 0x0012)  # patient, and the clinical trial that patient takes part in
TEXTS = frozenset(("AS", "CS", "DA", "DS", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UT"))
YES_NO = ("YES", "NO")
SIDES = ("R", "L")


@dataclass(frozen=True)
class SourceFilm:
    """One film.

    Args:
        reference: what a result refers to: UIDs, size, modality; patient and study are empty.
        identity: elements of patient and study as they stand in the file.
        characters: SpecificCharacterSet of ``identity``, None when the file has none.
        picture: stored pixels.
        rendering: the film as it should look.
    """

    reference: Dataset
    identity: dict[BaseTag, RawDataElement]
    characters: str | list[str] | None
    picture: StoredPicture
    rendering: Rendering

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        rows, columns = self.rendering.pixels.shape
        return rows, columns

    @property
    def gray(self) -> NDArray[np.uint8]:
        """``(rows, columns)``, the film as it should look: air dark, bone bright."""
        return np.rint(self.rendering.pixels * 255).astype(np.uint8)

    @property
    def aspect_ratio(self) -> list[int]:
        """Height to width of a pixel, in whole numbers; ``[1, 1]`` when it is not told."""
        spacing = self.picture.spacing or (1.0, 1.0)
        if spacing[0] == spacing[1]:
            return [1, 1]
        return [round(10_000 * value / max(spacing)) for value in spacing]

    def hand_over(self, result: Dataset) -> None:
        """Give ``result`` the patient and the study of the film.

        Args:
            result: changed in place.
        """
        for tag, element in self.identity.items():
            result[tag] = element
        if self.characters:
            result.SpecificCharacterSet = self.characters
        elif "SpecificCharacterSet" in result:
            del result.SpecificCharacterSet


def read_source(path: str | os.PathLike[str]) -> SourceFilm:
    """Read the film.

    Args:
        path: DICOM file of one gray frame.

    Raises:
        MonaiKDError: if it is something else; the message says what, never whose.
    """
    header = _header(Path(path))
    picture = read_dicom(path)
    return SourceFilm(
        reference=_reference(header, picture),
        identity=_identity(header),
        characters=_characters(header),
        picture=picture,
        rendering=render(picture, "auto"),
    )


def _header(path: Path) -> Dataset:
    """Parse the header from memory, so that no warning of the parser can name the file."""
    try:
        content = path.read_bytes()
    except OSError:
        raise MonaiKDError(
            "write_dicom_results: `source` must be a file that can be read, got none. Check the "
            "folder."
        ) from None
    header: Dataset
    try:
        header = dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)
        big_endian = header.file_meta.get("TransferSyntaxUID") == ExplicitVRBigEndian
    except Exception:  # a parser fed with any bytes raises anything
        header, big_endian = Dataset(), False
    if big_endian or any(not VALID_UID.fullmatch(_uid(header, keyword)) for keyword in UIDS):
        raise MonaiKDError(
            "write_dicom_results: `source` must be a little-endian DICOM file with valid UIDs of "
            "study, series and instance, got another file. Results can only go beside a film that "
            "is in an archive."
        )
    if _uid(header, "SOPClassUID") not in KINDS:
        raise MonaiKDError(
            "write_dicom_results: `source` must be a CR, DX or secondary capture image, got a "
            "DICOM file of another kind. Give the radiograph itself."
        )
    return header


def _uid(header: Dataset, keyword: str) -> str:
    uid = text(header, keyword)
    return uid if len(uid) <= LONGEST_UID else ""


def _reference(header: Dataset, picture: StoredPicture) -> Dataset:
    """Return what a result needs to know of the film, without patient and study."""
    reference = Dataset()
    for keyword in UIDS:
        setattr(reference, keyword, _uid(header, keyword))
    for keyword in EMPTY:
        setattr(reference, keyword, "")
    reference.Rows, reference.Columns = picture.words.shape
    reference.SamplesPerPixel = 1
    reference.Modality = "OT"  # of a CR or DX, highdicom would demand elements that may be absent
    orientation = text(header, "PatientOrientation").split("\\")
    known = len(orientation) == 2 and all(re.fullmatch("[ALFRPH]{1,3}", one) for one in orientation)
    reference.PatientOrientation = orientation if known else []
    sides = [text(header, keyword) for keyword in ("Laterality", "ImageLaterality")]  # CR, DX
    reference.Laterality = next((side for side in sides if side in SIDES), "")
    if text(header, "BurnedInAnnotation") in YES_NO:
        reference.BurnedInAnnotation = text(header, "BurnedInAnnotation")
    if text(header, "LossyImageCompression") == "01":  # once lossy, for ever lossy
        reference.LossyImageCompression = "01"
        ratios = numbers(header, "LossyImageCompressionRatio")
        if ratios:
            reference.LossyImageCompressionRatio = [format_number_as_ds(one) for one in ratios]
    return reference


def _identity(header: Dataset) -> dict[BaseTag, RawDataElement]:
    """Return the texts that say whose the film is, unread."""
    found: dict[BaseTag, RawDataElement] = {}
    for tag in header.keys():  # noqa: SIM118 # a Dataset iterates over its elements
        wanted = tag in STUDY or (tag.group in PATIENT_GROUPS and tag not in OF_A_SERIES)
        element: Any = header.get_item(tag)
        if not wanted or not dictionary_has_tag(tag) or not isinstance(element, RawDataElement):
            continue
        representation = dictionary_VR(tag)
        if representation in TEXTS:
            found[tag] = element._replace(VR=representation, is_implicit_VR=False)
    return found


def _characters(header: Dataset) -> str | list[str] | None:
    """Return what the parser has read; it needed it, so this element is not raw any more."""
    value = header.get("SpecificCharacterSet")
    if not value:
        return None
    return value if isinstance(value, str) else [str(one) for one in value]
