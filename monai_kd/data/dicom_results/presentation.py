# SPDX-License-Identifier: Apache-2.0
"""The presentation state (GSPS): boxes as graphics over the film itself, gray as we read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom import PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds

from monai_kd.data.dicom_results import codes
from monai_kd.data.dicom_results.detection import Detection
from monai_kd.data.dicom_results.report import box_corners
from monai_kd.data.dicom_results.source import SourceFilm
from monai_kd.data.gray import GrayRules, LookupTable

__all__ = ["build_presentation"]

SERIES = 9904
FULL_SCALE = 2**16 - 1


def build_presentation(
    film: SourceFilm,
    detections: Sequence[tuple[Detection, str]],
    algorithm: codes.Algorithm,
) -> Dataset:
    """Return the presentation state, without patient and study.

    Args:
        film: the film.
        detections: each with its tracking UID; may be empty.
        algorithm: what looked.
    """
    layers = {
        name: GraphicLayer(
            name.upper(), order=order, description=f"{name.capitalize()}: {NOTES[name]}"
        )
        for order, name in enumerate(NOTES, start=1)
    }
    annotations = [_notice(film, layers["notice"], bool(detections))]
    for name in ("dotted", "solid"):
        chosen = [one for one in detections if one[0].operating_point == name]
        if chosen:
            annotations.append(_boxes(film, layers[name], chosen))
    shape = "INVERSE" if film.picture.rules.inverted else "IDENTITY"
    state = GrayscaleSoftcopyPresentationState(
        referenced_images=[film.reference],
        content_label="FINDINGS",
        content_description=codes.NOTICE,
        graphic_annotations=annotations,
        graphic_layers=list(layers.values()),
        presentation_lut_transformation=PresentationLUTTransformation(presentation_lut_shape=shape),
        **algorithm.series("boxes over the film", SERIES),
        **algorithm.equipment,
    )
    state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio = film.aspect_ratio
    state.Laterality = film.reference.Laterality
    _describe_modality(state, film.picture.rules)
    _describe_gray(state, film)
    return state


NOTES = {
    "notice": "what this is",
    "dotted": "lenient operating point",
    "solid": "strict operating point",
}


def _notice(film: SourceFilm, layer: GraphicLayer, found: bool) -> GraphicAnnotation:
    text = codes.NOTICE if found else f"{codes.NOTICE} No finding detected."
    box = (0.0, 0.95, 1.0, 1.0)
    return GraphicAnnotation(
        referenced_images=[film.reference],
        graphic_layer=layer,
        text_objects=[TextObject(text, "DISPLAY", bounding_box=box, text_justification="LEFT")],
    )


def _boxes(
    film: SourceFilm, layer: GraphicLayer, detections: Sequence[tuple[Detection, str]]
) -> GraphicAnnotation:
    """Return outlines, finding and score of detections at one operating point."""
    graphics, texts = [], []
    for detection, uid in detections:
        name = f"{codes.plain_text(detection.finding)} {detection.score:.2f}"
        tracking: dict[str, Any] = {"tracking_id": name, "tracking_uid": uid}
        graphics.append(GraphicObject("POLYLINE", box_corners(detection.box), "PIXEL", **tracking))
        label = f"{name} ({detection.operating_point})"
        texts.append(
            TextObject(
                label,
                "PIXEL",
                bounding_box=_label_box(detection, film.shape),
                text_justification="LEFT",
                **tracking,
            )
        )
    return GraphicAnnotation(
        referenced_images=[film.reference],
        graphic_layer=layer,
        graphic_objects=graphics,
        text_objects=texts,
    )


def _label_box(detection: Detection, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the place of a label, in pixels: above the box, or below if there is no room."""
    x_min, y_min, _, y_max = (float(value) for value in detection.box)
    height = min(max(shape) / 40, shape[0] / 2)
    width = min(12 * height, float(shape[1]))
    top = y_min - height if y_min >= height else min(y_max, shape[0] - height)
    left = min(x_min, shape[1] - width)
    return left, top, left + width, top + height


def _describe_modality(state: Dataset, rules: GrayRules) -> None:
    """Repeat the film's rule for modality values: a presentation state replaces them all."""
    if rules.modality is not None:
        entries = rules.modality.entries
        item = _table_item(rules.modality, entries.astype("<u2"))
        item.ModalityLUTType = "US"
        state.ModalityLUTSequence = [item]
    elif (rules.slope, rules.intercept) != (1.0, 0.0):
        state.RescaleSlope = format_number_as_ds(rules.slope)
        state.RescaleIntercept = format_number_as_ds(rules.intercept)
        state.RescaleType = "US"


def _describe_gray(state: Dataset, film: SourceFilm) -> None:
    """Say how modality values become gray, as our reader does it."""
    rules, item = film.picture.rules, Dataset()
    if film.rendering.voi == "lut" and rules.table is not None:
        stretched = np.rint(rules.table.entries / rules.table.span * FULL_SCALE)
        item.VOILUTSequence = [
            _table_item(rules.table, stretched.clip(0, FULL_SCALE).astype("<u2"))
        ]
    elif film.rendering.voi == "window" and rules.window is not None:
        item.WindowCenter = format_number_as_ds(rules.window.center)
        item.WindowWidth = format_number_as_ds(rules.window.width)
        item.VOILUTFunction = rules.window.function
    else:
        ends = _ends(film)
        if ends is None:
            return
        item.WindowCenter = format_number_as_ds((ends[0] + ends[1]) / 2)
        item.WindowWidth = format_number_as_ds(ends[1] - ends[0])
        item.VOILUTFunction = "LINEAR_EXACT"
    state.SoftcopyVOILUTSequence = [item]


def _table_item(
    table: LookupTable, entries: np.ndarray[tuple[int], np.dtype[np.uint16]]
) -> Dataset:
    item = Dataset()
    representation = "SS" if table.first < 0 else "US"
    item.add_new("LUTDescriptor", representation, [len(entries) & 0xFFFF, table.first, 16])
    item.add_new("LUTData", "OW", entries.tobytes())
    return item


def _ends(film: SourceFilm) -> tuple[float, float] | None:
    """Return the modality values that our reader made black and white, from two pixels between."""
    gray = film.rendering.pixels.astype(np.float64)
    if film.picture.rules.inverted:
        gray = 1 - gray
    between = (gray > 0) & (gray < 1)
    if not between.any():
        return None
    shades = gray[between]
    values = film.picture.rules.rescale(
        film.picture.values_of(film.picture.words[between]).astype(np.float64)
    )
    dark, bright = shades.argmin(), shades.argmax()
    if shades[bright] == shades[dark]:
        return None
    step = (values[bright] - values[dark]) / (shades[bright] - shades[dark])
    black = values[dark] - shades[dark] * step
    return float(black), float(black + step)
