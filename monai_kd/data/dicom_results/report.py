# SPDX-License-Identifier: Apache-2.0
"""The structured report (SR, TID 1500): one measurement group per detection.

A finding without a detection has a group too, which says that it was looked for and not detected:
a report without groups would not be valid, and would not tell "nothing there" from "not done".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.uid import generate_uid

from monai_kd.data.dicom_results import codes
from monai_kd.data.dicom_results.detection import Detection
from monai_kd.data.dicom_results.source import SourceFilm

__all__ = ["box_corners", "build_report"]

SERIES = 9901


def build_report(
    film: SourceFilm,
    detections: Sequence[tuple[Detection, str]],
    findings: Sequence[str],
    algorithm: codes.Algorithm,
) -> Dataset:
    """Return the report, without patient and study.

    Args:
        film: the film.
        detections: each with its tracking UID; may be empty.
        findings: names of all findings that were looked for.
        algorithm: what looked.
    """
    found = {detection.finding for detection, _ in detections}
    groups = [
        _group_of_detection(film, detection, uid, number, algorithm)
        for number, (detection, uid) in enumerate(detections, start=1)
    ] + [
        _group_of_nothing(film, finding, algorithm) for finding in findings if finding not in found
    ]
    observer = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(prefix=None),
            name=codes.plain_text(algorithm.name),
            manufacturer_name=codes.MANUFACTURER,
            model_name=codes.plain_text(algorithm.version),
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.PLAIN_RADIOGRAPHY,
        imaging_measurements=groups,
        referenced_images=[film.reference],
    )
    return sr.ComprehensiveSR(
        evidence=[film.reference],
        content=content,
        is_complete=True,
        coding_schemes=codes.code_schemes(),
        content_qualification="RESEARCH",
        **algorithm.series("report", SERIES),
        **algorithm.equipment,
    )


def box_corners(box: Sequence[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the outline of a box as five ``(x, y)`` points, the last the first.

    DICOM counts as we do: (0, 0) is the top left corner of the top left pixel, so exclusive maxima
    are the outline's coordinates.

    Args:
        box: ``(x_min, y_min, x_max, y_max)``.
    """
    x_min, y_min, x_max, y_max = box
    corners = [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max), (x_min, y_min)]
    return np.array(corners, dtype=np.float64)


def _group_of_detection(
    film: SourceFilm, detection: Detection, uid: str, number: int, algorithm: codes.Algorithm
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return box, finding, probability and operating point of one detection."""
    region = sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=box_corners(detection.box),
        source_image=sr.SourceImageForRegion(
            film.reference.SOPClassUID, film.reference.SOPInstanceUID
        ),
    )
    name = f"{codes.plain_text(detection.finding, 48)} {number}"
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=name),
        referenced_region=region,
        finding_type=codes.finding_code(detection.finding),
        algorithm_id=_algorithm(algorithm),
        measurements=[sr.Measurement(codes.CERTAINTY, detection.percent, codes.PERCENT)],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(
                codes.OPERATING_POINT, codes.operating_point_code(detection.operating_point)
            )
        ],
    )


def _group_of_nothing(
    film: SourceFilm, finding: str, algorithm: codes.Algorithm
) -> sr.MeasurementsAndQualitativeEvaluations:
    """Return that a finding was looked for and not detected."""
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=generate_uid(prefix=None), identifier=codes.plain_text(finding)
        ),
        finding_type=codes.finding_code(finding),
        algorithm_id=_algorithm(algorithm),
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.PRESENCE, codes.NOT_DETECTED)],
        source_images=[
            sr.SourceImageForMeasurementGroup(
                film.reference.SOPClassUID, film.reference.SOPInstanceUID
            )
        ],
    )


def _algorithm(algorithm: codes.Algorithm) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(
        name=codes.plain_text(algorithm.name),
        version=codes.plain_text(algorithm.version),
        parameters=[codes.NOTICE],
    )
