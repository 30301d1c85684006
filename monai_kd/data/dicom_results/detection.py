# SPDX-License-Identifier: Apache-2.0
"""One detection, and what must be true of the detections of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_kd.utils import did_you_mean

__all__ = ["Detection", "check_detections"]


@dataclass(frozen=True)
class Detection:
    """One box that a detector drew.

    Args:
        finding: name of the finding, one of the detector's.
        score: probability, in [0, 1].
        box: ``(x_min, y_min, x_max, y_max)`` in pixels of the stored image: x counts columns, y
            counts rows, origin top left, maxima exclusive.
        solid: whether ``score`` reaches the strict operating point, where false alarms are rare;
            else it reaches the lenient one only, and the box is drawn dotted.
    """

    finding: str
    score: float
    box: tuple[float, float, float, float]
    solid: bool

    @property
    def operating_point(self) -> str:
        """``solid`` or ``dotted``."""
        return "solid" if self.solid else "dotted"

    @property
    def percent(self) -> float:
        """``score`` in percent, to 0.01."""
        return round(100 * float(self.score), 2)


def check_detections(
    detections: Sequence[Detection], findings: Sequence[str], shape: tuple[int, int]
) -> None:
    """Raise unless each detection has a known finding, a probability, and a box in the film.

    Args:
        detections: detections of one film.
        findings: names that the detector knows.
        shape: ``(rows, columns)`` of the film.

    Raises:
        ValueError: naming the first detection (by its place) that is wrong, and why.
    """
    _check_findings(findings)
    rows, columns = shape
    for place, detection in enumerate(detections):
        who = f"write_dicom_results: detection {place}"
        if detection.finding not in findings:
            raise ValueError(
                f"{who}: `finding` must be one of {', '.join(findings)}, got "
                f"{detection.finding!r}.{did_you_mean(detection.finding, findings)}"
            )
        if not 0 <= detection.score <= 1:
            raise ValueError(
                f"{who}: `score` must be in [0, 1], got {detection.score}. Give a probability."
            )
        x_min, y_min, x_max, y_max = detection.box
        got = ", ".join(f"{value:g}" for value in detection.box)
        if not (0 <= x_min < x_max <= columns and 0 <= y_min < y_max <= rows):
            raise ValueError(
                f"{who}: `box` must be x_min, y_min, x_max, y_max inside the film of {columns} "
                f"columns (x) and {rows} rows (y), got {got}. Give it in pixels of the stored "
                "image."
            )


def _check_findings(findings: Sequence[str]) -> None:
    if isinstance(findings, str) or not findings or len(set(findings)) != len(findings):
        raise ValueError(
            "write_dicom_results: `findings` must be the detector's findings, each once, got "
            f"{findings!r}. Those without a detection are reported as not detected."
        )
