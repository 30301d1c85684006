# SPDX-License-Identifier: Apache-2.0
"""The few facts about a radiograph that may travel with it: from closed lists, never free text.

A list of allowed values, not of allowed elements: a name typed into BodyPartExamined goes nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["DICOM_TAGS", "empty_tags", "safe_tags"]

MODALITIES = "CR DX DR RG RF XA MG IO PX OT SC"
VIEWS = "AP PA LL RL LLD RLD LLO RLO LPO RPO LAO RAO LAT LATERAL"
BODY_PARTS = (
    "ABDOMEN ANKLE ARM CHEST CLAVICLE CSPINE ELBOW EXTREMITY FEMUR FINGER FOOT FOREARM HAND HEAD "
    "HEEL HIP HUMERUS JAW KNEE LEG LSPINE NECK PELVIS RIB RIBS SCAPULA SHOULDER SKULL SPINE SSPINE "
    "STERNUM THORAX TOE TSPINE WHOLEBODY WRIST"
)
DICOM_TAGS: Mapping[str, frozenset[str]] = {
    "Modality": frozenset(MODALITIES.split()),
    "ViewPosition": frozenset(VIEWS.split()),
    "BodyPartExamined": frozenset(BODY_PARTS.split()),
    "PhotometricInterpretation": frozenset(("MONOCHROME1", "MONOCHROME2")),
    "PresentationIntentType": frozenset(("FOR PRESENTATION", "FOR PROCESSING")),
}


def empty_tags(image_format: str) -> dict[str, str | float]:
    """Return every tag there is, all unknown, so that the tags of any two files can be batched.

    Args:
        image_format: ``DICOM``, ``PNG``, ``JPEG`` or ``NIfTI``.
    """
    unknown: dict[str, str | float] = dict.fromkeys(DICOM_TAGS, "")
    return unknown | {"BitsStored": math.nan, "format": image_format, "voi": "", "voi_ignored": ""}


def safe_tags(found: Mapping[str, str]) -> dict[str, str | float]:
    """Return all tags of a DICOM file; what is not in ``DICOM_TAGS`` stays unknown (``""``).

    Args:
        found: text per DICOM keyword, as read.
    """
    tags = empty_tags("DICOM")
    for keyword, allowed in DICOM_TAGS.items():
        text = found.get(keyword, "").strip().upper()
        tags[keyword] = text if text in allowed else ""
    return tags
