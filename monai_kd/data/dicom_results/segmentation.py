# SPDX-License-Identifier: Apache-2.0
"""The mask (SEG, binary): one segment per finding that has any pixel.

A film is a projection: it has no position in the patient, so neither has its mask; each frame says
instead which image it was derived from, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset

from monai_kd.data.dicom_results import codes
from monai_kd.data.dicom_results.detection import Detection
from monai_kd.data.dicom_results.source import SourceFilm
from monai_kd.data.regions import regions_to_mask

__all__ = ["boxes_to_mask", "build_segmentation", "check_mask"]

SERIES = 9902


def build_segmentation(
    film: SourceFilm,
    mask: NDArray[np.bool_],
    findings: Sequence[str],
    algorithm: codes.Algorithm,
) -> Dataset | None:
    """Return the mask without patient and study; None if it is empty, for there is no empty SEG.

    Args:
        film: the film.
        mask: ``(rows, columns, findings)``.
        findings: names, in the order of the last axis.
        algorithm: what made the mask.
    """
    drawn = [channel for channel in range(len(findings)) if mask[..., channel].any()]
    if not drawn:
        return None
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=codes.plain_text(findings[channel]),
            segmented_property_category=codes.ABNORMAL_STRUCTURE,
            segmented_property_type=codes.finding_code(findings[channel]),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm.identification,
        )
        for number, channel in enumerate(drawn, start=1)
    ]
    segmentation = Segmentation(
        source_images=[film.reference],
        pixel_array=mask[np.newaxis][..., drawn].astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        content_label="FINDINGS",
        content_description=codes.NOTICE,
        coding_schemes=codes.code_schemes(),
        **algorithm.series("mask", SERIES),
        **algorithm.equipment,
    )
    segmentation.PatientOrientation = list(film.reference.PatientOrientation)
    return segmentation


def boxes_to_mask(
    detections: Sequence[Detection], findings: Sequence[str], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return ``(rows, columns, findings)``: every pixel that a box of the finding touches.

    Args:
        detections: may be empty.
        findings: names, in the order of the last axis.
        shape: ``(rows, columns)``.
    """
    regions = [{"box": list(one.box), "finding": one.finding} for one in detections]
    return np.moveaxis(regions_to_mask(regions, findings, shape).astype(np.bool_), 0, -1)


def check_mask(mask: NDArray[np.bool_], findings: Sequence[str], shape: tuple[int, int]) -> None:
    """Raise unless a mask fits the film.

    Args:
        mask: ``(rows, columns, findings)``, boolean.
        findings: names.
        shape: ``(rows, columns)`` of the film.

    Raises:
        ValueError: if shape or type is another.
    """
    expected = (*shape, len(findings))
    if mask.shape != expected or mask.dtype != np.bool_:
        raise ValueError(
            f"write_dicom_results: `mask` must be boolean of shape {expected} (rows, columns, "
            f"findings), got {mask.dtype} of shape {mask.shape}. Give it in pixels of the stored "
            "image."
        )
