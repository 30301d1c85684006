# SPDX-License-Identifier: Apache-2.0
"""What a datalist holds, in counts that name nobody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai_kd.data.datalist import Datalist

__all__ = ["describe_datalist", "drawn_findings", "films_without_patient"]

_NOTE = re.compile(r"(\d+) images have no patient id")


def describe_datalist(datalist: Datalist) -> dict[str, Any]:
    """Return what a report may say of the data: counts, never names.

    Args:
        datalist: whatever is trained on.

    Returns:
        By section: ``images``, ``patients``, ``known`` (images with a known label) and
        ``positives`` by finding, how many images have ``regions`` drawn, and images by ``sites``.
        ``positives`` is None where no label is known; an image without a patient counts as one.
    """
    return {
        name: {
            "images": len(items),
            "patients": len({item.get("patient_id", number) for number, item in enumerate(items)}),
            **_labels(items, datalist.findings),
            "regions": sum(bool(item.get("regions")) for item in items),
            "sites": dict(Counter(str(item["site"]) for item in items if item.get("site"))),
        }
        for name, items in datalist.sections.items()
    }


def films_without_patient(datalist: Datalist) -> int:
    """Return of how many films nobody knows the patient; they may be of one who is elsewhere too.

    :func:`~monai_kd.data.build_datalist` gives such a film a patient of its own and says how many
    there are in the header, as ``images_without_patient`` of ``built`` or, formerly, in a note.
    Without either the items without ``patient_id`` are counted.

    Args:
        datalist: any.

    Example:
        >>> from pathlib import Path
        >>> items = [{"patient_id": "a"}, {}]
        >>> films_without_patient(Datalist(["f"], False, {"test": items}, Path()))
        1
    """
    built = datalist.info.get("built")
    built = built if isinstance(built, Mapping) else {}
    said = built.get("images_without_patient")
    if isinstance(said, int):
        return said
    items = [item for members in datalist.sections.values() for item in members]
    notes = [_NOTE.match(str(note)) for note in built.get("notes") or []]
    if any(notes):  # a note also counts images that were left out afterwards
        return min(len(items), sum(int(note[1]) for note in notes if note))
    return sum(not item.get("patient_id") for item in items)


def drawn_findings(items: Iterable[Mapping[str, Any]], findings: Sequence[str]) -> list[str]:
    """Return the findings that an expert drew on a film where they are not absent.

    Args:
        items: films of one section, with ``label`` and perhaps ``regions``. A region without a
            finding stands for every one.
        findings: names of the C findings, in the order of ``label``.

    Example:
        >>> film = {"label": [0, 1, 1], "regions": [{"finding": "mass", "box": [0, 0, 9, 9]}]}
        >>> drawn_findings([film], ["none", "mass", "nodule"])
        ['mass']
    """
    drawn: set[str] = set()
    for item in items:
        present = {name for name, value in zip(findings, item["label"], strict=True) if value != 0}
        for region in item.get("regions") or []:
            finding = region.get("finding")
            drawn |= present if finding is None else present & {finding}
    return [name for name in findings if name in drawn]


def _labels(items: Sequence[Mapping[str, Any]], findings: Sequence[str]) -> dict[str, Any]:
    columns = {
        name: [item["label"][column] for item in items if item["label"][column] is not None]
        for column, name in enumerate(findings)
    }
    return {
        "known": {name: len(values) for name, values in columns.items()},
        "positives": {
            name: values.count(1) if values else None for name, values in columns.items()
        },
    }
