# SPDX-License-Identifier: Apache-2.0
"""Write what was detected on a film as DICOM objects of the film's study.

No single object is shown by every viewer, so the same detections are written four ways: a report
for programs, a mask, a picture for any viewer, and a presentation state over the film itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.uid import generate_uid

from monai_kd.data.dicom_results.capture import build_capture
from monai_kd.data.dicom_results.codes import Algorithm
from monai_kd.data.dicom_results.detection import Detection, check_detections
from monai_kd.data.dicom_results.presentation import build_presentation
from monai_kd.data.dicom_results.report import build_report
from monai_kd.data.dicom_results.segmentation import (
    boxes_to_mask,
    build_segmentation,
    check_mask,
)
from monai_kd.data.dicom_results.source import SourceFilm, read_source
from monai_kd.utils import write_atomically

__all__ = ["DicomResults", "write_dicom_results"]


@dataclass(frozen=True)
class DicomResults:
    """The files that were written.

    Args:
        report: structured report (SR, TID 1500).
        segmentation: mask (SEG); None when nothing was detected.
        picture: secondary capture with the boxes drawn in; films below 1024 pixels are enlarged.
        presentation: grayscale softcopy presentation state (GSPS).
    """

    report: Path
    segmentation: Path | None
    picture: Path
    presentation: Path

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        found = [self.report, self.segmentation, self.picture, self.presentation]
        return [path for path in found if path is not None]


def write_dicom_results(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    detections: Sequence[Detection],
    *,
    findings: Sequence[str],
    algorithm_name: str,
    algorithm_version: str,
    mask: NDArray[np.bool_] | None = None,
) -> DicomResults:
    """Write the detections on one film as SR, SEG, secondary capture and GSPS of its study.

    **These files carry the patient's identity, on purpose**: they go back to the archive that the
    film came from, into the same study, each as a new series. Patient and study are copied byte
    by byte. Nothing of them is logged, or in a file name or an error. The files are readable by
    their owner alone.

    The folder gets ``report.dcm``, ``segmentation.dcm``, ``picture.dcm`` and ``presentation.dcm``;
    those from before are deleted first, and when one can not be written, none stays. Without a
    detection there is no ``segmentation.dcm`` (a mask must have a segment); the others say that
    nothing was detected. UIDs are new each time.

    Args:
        source: DICOM file of one gray frame: CR, DX or secondary capture.
        folder: one per film; made when missing.
        detections: boxes in pixels of the stored image; may be empty.
        findings: names of all findings that were looked for; those without a detection are
            reported as not detected.
        algorithm_name: what looked at the film, such as the bundle's name.
        algorithm_version: of the model.
        mask: ``(rows, columns, findings)``, boolean, what goes into the SEG; None fills the boxes.

    Raises:
        MonaiKDError: if ``source`` is not such a file.
        ValueError: if a detection or the mask does not fit the film.
    """
    film = read_source(source)
    check_detections(detections, findings, film.shape)
    if mask is None:
        mask = boxes_to_mask(detections, findings, film.shape)
    check_mask(mask, findings, film.shape)
    algorithm = Algorithm(algorithm_name, algorithm_version)
    tracked = [(detection, generate_uid(prefix=None)) for detection in detections]
    with _silent_highdicom():
        results = {
            "report": build_report(film, tracked, findings, algorithm),
            "segmentation": build_segmentation(film, mask, findings, algorithm),
            "picture": build_capture(film, detections, algorithm),
            "presentation": build_presentation(film, tracked, algorithm),
        }
    paths = {name: Path(folder) / f"{name}.dcm" for name in results}
    _write_all({paths[name]: result for name, result in results.items()}, film)
    return DicomResults(
        report=paths["report"],
        segmentation=None if results["segmentation"] is None else paths["segmentation"],
        picture=paths["picture"],
        presentation=paths["presentation"],
    )


def _write_all(results: Mapping[Path, Dataset | None], film: SourceFilm) -> None:
    """Write the objects in place of those from before, never beside one of them."""
    _delete(results)
    try:
        for path, result in results.items():
            if result is not None:
                _write(path, result, film)
    except BaseException:
        _delete(results)
        raise


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _write(path: Path, result: Dataset, film: SourceFilm) -> None:
    """Write one object with the patient and the study of the film."""
    film.hand_over(result)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # patients' names: its owner's alone
    write_atomically(
        path, lambda file: dcmwrite(file, result, enforce_file_format=True), mode=0o600
    )


@contextmanager
def _silent_highdicom() -> Iterator[None]:
    """Keep highdicom from logging the UIDs of the film."""
    logger = logging.getLogger("highdicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
