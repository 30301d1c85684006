# SPDX-License-Identifier: Apache-2.0
"""Detections as DICOM objects that go back to the archive: report, mask, picture, presentation."""

from monai_kd.data.dicom_results.detection import Detection
from monai_kd.data.dicom_results.write import DicomResults, write_dicom_results

__all__ = ["Detection", "DicomResults", "write_dicom_results"]
