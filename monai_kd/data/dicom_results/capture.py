# SPDX-License-Identifier: Apache-2.0
"""The picture (secondary capture): what every viewer can show, boxes burned in."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sc import SCImage
from pydicom import Dataset

from monai_kd.data.dicom_results import codes
from monai_kd.data.dicom_results.detection import Detection
from monai_kd.data.dicom_results.drawing import draw_picture
from monai_kd.data.dicom_results.source import SourceFilm

__all__ = ["build_capture"]

SERIES = 9903


def build_capture(
    film: SourceFilm, detections: Sequence[Detection], algorithm: codes.Algorithm
) -> Dataset:
    """Return the picture, without patient and study.

    It has no pixel spacing, which would have to follow the enlargement of small films.

    Args:
        film: the film.
        detections: may be empty.
        algorithm: what looked.
    """
    picture = draw_picture(film.gray, detections, f"{algorithm.name} {algorithm.version}")
    capture = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom must have one; replaced below
        study_instance_uid=film.reference.StudyInstanceUID,
        **algorithm.series("picture", SERIES),
        **algorithm.equipment,
    )
    capture.PatientOrientation = list(film.reference.PatientOrientation)
    capture.Laterality = film.reference.Laterality
    capture.ConversionType = "WSD"  # made by a workstation
    capture.DerivationDescription = codes.NOTICE
    capture.SourceImageSequence = [_reference(film)]
    for keyword in ("BurnedInAnnotation", "LossyImageCompression", "LossyImageCompressionRatio"):
        if keyword in film.reference:
            setattr(capture, keyword, film.reference[keyword].value)
    if film.aspect_ratio != [1, 1]:
        capture.PixelAspectRatio = film.aspect_ratio
    return capture


def _reference(film: SourceFilm) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = film.reference.SOPClassUID
    reference.ReferencedSOPInstanceUID = film.reference.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [codes.SOURCE_IMAGE]
    return reference
