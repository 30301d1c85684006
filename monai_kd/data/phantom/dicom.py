# SPDX-License-Identifier: Apache-2.0
"""A phantom film as a DICOM file: CR or DX, explicit VR little endian, with a full header.

The header carries an invented name and record number, as an archive's does, so that what must
never leave the header can be looked for.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from monai_kd.data.phantom.film import Film, Rendering
from monai_kd.data.phantom.scanner import SITES, Stored

__all__ = ["film_to_dicom"]


def film_to_dicom(film: Film, rendering: Rendering) -> bytes:
    """Return the bytes of a DICOM file.

    Args:
        film: who and when.
        rendering: its pixels.
    """
    dataset = Dataset()
    modality = SITES[film.patient.site].modality
    _describe_patient(dataset, film)
    _describe_picture(dataset, rendering)
    _describe_gray(dataset, rendering.stored, modality)
    if modality == "DX":
        dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
        _describe_dx(dataset, rendering)
    else:
        dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = _uid(film, "image", film.number)
    dataset.SeriesInstanceUID = _uid(film, "series", film.number)
    dataset.StudyInstanceUID = _uid(film, "study", film.visit)
    dataset.Modality = modality
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("2.25.302147116")
    dataset.file_meta = meta
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _describe_patient(dataset: Dataset, film: Film) -> None:
    patient = film.patient
    year = 2015 + patient.number % 8
    date = f"{year}{1 + patient.number % 12:02d}{1 + (3 * patient.number + film.visit) % 28:02d}"
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = patient.name
    dataset.PatientID = patient.mrn
    dataset.PatientBirthDate = f"{year - patient.age}0101"
    dataset.PatientSex = patient.sex
    dataset.PatientAge = f"{patient.age:03d}Y"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = date
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = (
        "101500"
    )
    dataset.AccessionNumber = f"ACC{patient.mrn[3:]}{film.visit}"
    dataset.StudyID = str(film.visit + 1)
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.ReferringPhysicianName = "Referring^Invented"
    dataset.InstitutionName = f"Phantom Hospital {patient.site.title()}"
    dataset.StationName = f"ROOM-{patient.site[:1].upper()}1"
    dataset.Manufacturer = "Phantom"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = film.view
    dataset.PatientOrientation = ["L", "F"]
    dataset.Laterality = ""


def _describe_picture(dataset: Dataset, rendering: Rendering) -> None:
    pixels = rendering.stored.pixels
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = rendering.stored.photometric
    dataset.Rows, dataset.Columns = (int(n) for n in pixels.shape)
    dataset.ImagerPixelSpacing = [rendering.spacing, rendering.spacing]
    dataset.PixelSpacing = [rendering.spacing, rendering.spacing]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PixelData = pixels.astype("<u2").tobytes()


def _describe_gray(dataset: Dataset, stored: Stored, modality: str) -> None:
    if stored.window is not None:
        dataset.WindowCenter, dataset.WindowWidth = stored.window
    if stored.voi_lut is not None:
        table = Dataset()
        table.add_new("LUTDescriptor", "US", [len(stored.voi_lut), 0, 16])
        table.LUTExplanation = "chest"
        table.add_new("LUTData", "OW", stored.voi_lut.astype("<u2").tobytes())
        dataset.VOILUTSequence = [table]
    if modality == "DX" or (stored.slope, stored.intercept) != (1.0, 0.0):
        dataset.RescaleSlope = stored.slope
        dataset.RescaleIntercept = stored.intercept
        dataset.RescaleType = "US"


def _describe_dx(dataset: Dataset, rendering: Rendering) -> None:
    """Add what PS3.3 A.26 asks of a DX image beyond a CR image."""
    inverted = rendering.stored.photometric == "MONOCHROME1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if inverted else -1
    dataset.DetectorType = "DIRECT"
    dataset.ImageLaterality = "U"
    dataset.PositionerType = "NONE"
    dataset.AcquisitionContextSequence = []
    dataset.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    dataset.ViewCodeSequence = []


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _uid(film: Film, level: str, number: int) -> str:
    """Return a UID that only depends on the archive's settings (2.25: derived from a number)."""
    key: list[Any] = [*film.patient.seed, film.patient.number, level, number]
    digest = hashlib.sha256(repr(key).encode()).digest()[:16]
    return f"2.25.{int.from_bytes(digest, 'big')}"
