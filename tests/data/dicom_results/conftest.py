# SPDX-License-Identifier: Apache-2.0
"""A small film of an invented patient, stored in any of the ways that a test is about."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

pytest.importorskip("highdicom", reason="highdicom is not installed (Python 3.14 or later)")

from monai_kd.data.dicom_results import Detection, write_dicom_results

CR = "1.2.840.10008.5.1.4.1.1.1"
ROWS, COLUMNS, TOP = 96, 128, 4095
FINDINGS = ["rib_fracture", "clavicle_fracture", "opacity"]
FOUND = [
    Detection("rib_fracture", 0.875, (20.0, 30.0, 44.0, 50.0), True),
    Detection("rib_fracture", 0.4321, (50.25, 60.5, 70.75, 80.0), False),
    Detection("opacity", 0.5, (100.0, 0.0, 128.0, 24.0), True),
]


def shades():
    """12 bit, no symmetry, every corner different, neither black nor white at most pixels."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    noise = np.random.default_rng(0).integers(0, 200, (ROWS, COLUMNS))
    return (300 + x * 20 + y * 8 + noise).clip(0, TOP).astype(np.uint16)


def dicom_film(path, *, syntax=ExplicitVRLittleEndian, pixels=None, **changes):
    """Write one CR file; None leaves an element out."""
    pixels = shades() if pixels is None else pixels
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    elements = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": CR,
        "SOPInstanceUID": "1.2.826.0.1.77.3",
        "SeriesInstanceUID": "1.2.826.0.1.77.2",
        "StudyInstanceUID": "1.2.826.0.1.77.1",
        "StudyDate": "20200229",
        "StudyTime": "1234",
        "AccessionNumber": "ACC4711",
        "StudyID": "S9",
        "StudyDescription": "Thorax p.a.",
        "ReferringPhysicianName": "Überweiser^Uwe",
        "PatientName": "Ärgerlich^Änne",
        "PatientID": "MRN0815",
        "IssuerOfPatientID": "KLINIK",
        "PatientBirthDate": "19510203",
        "PatientSex": "F",
        "PatientAge": "069Y",
        "PatientIdentityRemoved": "NO",
        "Modality": "CR",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "PatientOrientation": ["L", "F"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 12,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    } | changes
    elements.setdefault("HighBit", elements["BitsStored"] - 1)
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.MediaStorageSOPClassUID = elements["SOPClassUID"]
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.77.3"
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def results_of(source, folder, detections=FOUND, **changes):
    settings = {
        "findings": FINDINGS,
        "algorithm_name": "cxr_aals_fracture_detection",
        "algorithm_version": "0.1.0",
    }
    return write_dicom_results(source, folder, detections, **(settings | changes))


@pytest.fixture
def film(tmp_path):
    return dicom_film(tmp_path / "film.dcm")


@pytest.fixture
def write_film():
    return dicom_film


@pytest.fixture
def write_results():
    return results_of
