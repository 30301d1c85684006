# SPDX-License-Identifier: Apache-2.0
"""How things are called in DICOM: SNOMED CT and DICOM codes where there are some, else our own.

Our own codes have the scheme 99MONAIKD. All text is ASCII, because what goes beside it, the
patient's name, comes with a character set of its own.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from highdicom import AlgorithmIdentificationSequence
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.uid import generate_uid

__all__ = [
    "ABNORMAL_STRUCTURE",
    "ARTIFICIAL_INTELLIGENCE",
    "CERTAINTY",
    "MANUFACTURER",
    "NOTICE",
    "NOT_DETECTED",
    "OPERATING_POINT",
    "PERCENT",
    "PLAIN_RADIOGRAPHY",
    "PRESENCE",
    "SOURCE_IMAGE",
    "Algorithm",
    "code_schemes",
    "finding_code",
    "operating_point_code",
    "plain_text",
]

NOTICE = "Research only. Not for diagnosis."
MANUFACTURER = "monai_kd"
OUR_SCHEME = "99MONAIKD"
LONGEST_TEXT, LONGEST_CODE = 64, 16  # of the value representations LO and SH

_FINDINGS = {
    "fracture": ("125605004", "Fracture of bone"),
    "rib_fracture": ("33737001", "Fracture of rib"),
    "clavicle_fracture": ("58150001", "Fracture of clavicle"),
}
PRESENCE = CodedConcept("705057003", "SCT", "Presence")
NOT_DETECTED = CodedConcept("260415000", "SCT", "Not detected")
ABNORMAL_STRUCTURE = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
CERTAINTY = CodedConcept("111012", "DCM", "Certainty of Finding")
PERCENT = CodedConcept("%", "UCUM", "Percent")
PLAIN_RADIOGRAPHY = CodedConcept("168537006", "SCT", "Plain radiography")
SOURCE_IMAGE = CodedConcept("121322", "DCM", "Source image for image processing operation")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
OPERATING_POINT = CodedConcept("operating_point", OUR_SCHEME, "Operating point")
_OPERATING_POINTS = {
    "solid": CodedConcept("solid", OUR_SCHEME, "Solid: strict, few false alarms"),
    "dotted": CodedConcept("dotted", OUR_SCHEME, "Dotted: lenient, more false alarms"),
}


@dataclass(frozen=True)
class Algorithm:
    """What looked at the film.

    Args:
        name: shown in the archive's series list.
        version: of the model, such as a date or a hash.
    """

    name: str
    version: str

    @property
    def equipment(self) -> dict[str, Any]:
        """What every object says about the program that made it, as highdicom's arguments."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": plain_text(self.name),
            "software_versions": plain_text(self.version),
            "device_serial_number": "none",
        }

    @property
    def identification(self) -> AlgorithmIdentificationSequence:
        """The algorithm, as SEG and GSPS name it."""
        return AlgorithmIdentificationSequence(
            name=plain_text(self.name),
            family=ARTIFICIAL_INTELLIGENCE,
            version=plain_text(self.version),
        )

    def series(self, kind: str, number: int) -> dict[str, Any]:
        """Return a new series of one new instance, as highdicom's arguments.

        Args:
            kind: what it holds, the end of the series' description.
            number: the series' number.
        """
        return {
            "series_instance_uid": generate_uid(prefix=None),
            "series_number": number,
            "series_description": plain_text(f"{self.name}: {kind}"),
            "sop_instance_uid": generate_uid(prefix=None),
            "instance_number": 1,
        }


def plain_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return ``text`` in printable ASCII: accents dropped, other letters as ``&#...;``.

    Args:
        text: any text.
        longest: number of characters that may stay.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    ascii_text = bare.encode("ascii", "xmlcharrefreplace").decode()
    return re.sub(r"[^ -~]|\\", "_", ascii_text).strip()[:longest].strip() or "_"


def finding_code(finding: str) -> CodedConcept:
    """Return the SNOMED CT code of a finding, or one of ours with the finding's name.

    Args:
        finding: name, as in the datalist.

    Example:
        >>> finding_code("rib_fracture").meaning
        'Fracture of rib'
        >>> finding_code("opacity").scheme_designator
        '99MONAIKD'
    """
    if finding in _FINDINGS:
        value, meaning = _FINDINGS[finding]
        return CodedConcept(value, "SCT", meaning)
    value = plain_text(finding, 10**6)
    if len(value) > LONGEST_CODE or value != finding:
        value = f"{value[:7]}_{hashlib.sha256(finding.encode()).hexdigest()[:8]}"
    return CodedConcept(value, OUR_SCHEME, plain_text(finding))


def operating_point_code(name: str) -> CodedConcept:
    """Return the code of an operating point.

    Args:
        name: ``solid`` or ``dotted``.
    """
    return _OPERATING_POINTS[name]


def code_schemes() -> list[CodingSchemeIdentificationItem]:
    """Return what explains the codes that are our own."""
    return [
        CodingSchemeIdentificationItem(
            OUR_SCHEME,
            name="Findings and operating points of monai_kd",
            responsible_organization="The monai_kd authors",
        )
    ]
