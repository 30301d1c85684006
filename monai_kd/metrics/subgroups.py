# SPDX-License-Identifier: Apache-2.0
"""Whether the model is as good for women, for the old, for the lateral view, at the other site.

A group's interval is wider, for it has fewer images; two intervals that overlap do not show that
the groups are alike, and many groups are looked at: a table to ask questions from, not a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.classification import classification_summary
from monai_kd.metrics.predictions import METADATA
from monai_kd.metrics.score_arrays import score_arrays, whole_rows
from monai_kd.metrics.uncertainty import patient_index

__all__ = ["NOT_KNOWN", "subgroup_masks", "subgroup_table"]

BoolArray = NDArray[np.bool_]
NOT_KNOWN = "not known"
_AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([YMWD]?)\s*$", re.IGNORECASE)  # also DICOM's 045Y
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}


def subgroup_masks(
    metadata: Mapping[str, Sequence[object]],
    *,
    age_edges: Sequence[int] = (18, 40, 60, 80),
    smallest: int = 10,
    patient_id: Sequence[object] | NDArray[Any] | None = None,
    known: Any = None,
) -> dict[tuple[str, str], BoolArray]:
    """Return which images belong to each group.

    Args:
        metadata: columns ``sex``, ``age`` (years, or DICOM's ``045Y``), ``view`` and ``site`` as
            far as they are known, N values each, "" for unknown; other columns are not looked at.
        age_edges: years where a new age band begins, rising.
        smallest: groups with fewer patients are left out: they say little, and might tell of one
            person.
        patient_id: who each image belongs to; None: every image is a patient.
        known: whether each image has a known label, ``(N,)``; others are in the masks, but do not
            count for ``smallest``. None: all have.

    Returns:
        Mask ``(N,)`` by column and group, in the order of the columns, then of the groups;
        ``"not known"`` comes last. A column that is not known of any image gives none.

    Raises:
        ValueError: if the edges do not rise.

    Example:
        >>> masks = subgroup_masks({"age": [3, 50, ""]}, age_edges=(18,), smallest=1)
        >>> [group for _, group in masks]
        ['under 18', '18 and over', 'not known']
    """
    if list(age_edges) != sorted(set(age_edges)):
        raise ValueError(
            f"subgroup_masks: `age_edges` must rise, got {list(age_edges)}. "
            "Give the years where a new band begins, such as 18, 40, 60, 80."
        )
    masks: dict[tuple[str, str], BoolArray] = {}
    for by in METADATA:
        values = [_text(value) for value in metadata.get(by, [])]
        if by == "age":
            bands = _bands(age_edges)
            values = [_band(value, age_edges, bands) for value in values]
            order = bands
        else:
            order = sorted(set(values) - {""})
        if not any(values):
            continue
        column = np.asarray(values)
        for group in [*order, ""]:
            mask = column == group
            counted = mask if known is None else mask & np.asarray(known, bool)
            if len(np.unique(patient_index(patient_id, len(mask))[counted])) >= max(smallest, 1):
                masks[by, group or NOT_KNOWN] = mask
    return masks


def subgroup_table(
    prob: Any,
    label: Any,
    metadata: Mapping[str, Sequence[object]],
    *,
    findings: Sequence[str],
    activation: str,
    patient_id: Sequence[object] | None = None,
) -> list[dict[str, Any]]:
    """Return how good the model is in each group, one row each, ready for ``json.dump``.

    Args:
        prob: probabilities in [0, 1], ``(N, C)``.
        label: 1, 0, or NaN for unknown, ``(N, C)``.
        metadata: see :func:`subgroup_masks`.
        findings: names of the C findings.
        activation: ``"softmax"`` or ``"sigmoid"``.
        patient_id: who each image belongs to; widens the intervals as needed.

    Returns:
        Rows of groups of 10 patients or more with ``by`` and ``group``, ``n`` images with a known
        label, ``patients`` (or None), ``positives`` by finding, ``macro_auroc`` and
        ``accuracy``, each with ``_ci`` (95%); None where the group cannot say, for instance
        because a class is absent in it.

    Raises:
        ValueError: if shapes differ, nothing is there, or a value is not a probability or label.
    """
    probs, truth = score_arrays("subgroup_table", prob, label, patient_id=patient_id)
    who = None if patient_id is None else patient_index(patient_id, len(probs))
    known = ~np.isnan(whole_rows(truth, activation)).all(axis=1)
    bad = sorted(by for by in METADATA if len(metadata.get(by, probs)) != len(probs))
    if bad:
        raise ValueError(
            f"subgroup_table: `metadata` must have one entry per image, {len(probs)}, got another "
            f"number in {', '.join(bad)}. Collect it from the same batches."
        )
    table = []
    masks = subgroup_masks(metadata, patient_id=who, known=known)
    for (by, group), mask in masks.items():
        one = classification_summary(
            probs[mask],
            truth[mask],
            findings=findings,
            activation=activation,
            patient_id=None if who is None else who[mask].tolist(),
        )
        keys = ("n", "patients", "positives", "macro_auroc", "macro_auroc_ci", "accuracy")
        row = {"by": by, "group": group} | {key: one[key] for key in keys}
        table.append(row | {"accuracy_ci": one.get("accuracy_ci")})
    return table


def _text(value: object) -> str:
    """A value as text, "" for unknown; 45 and 45.0 are the same."""
    number = getattr(value, "item", lambda: value)()  # of an array or tensor
    if number is None or (isinstance(number, float) and np.isnan(number)):
        return ""
    if isinstance(number, float) and number.is_integer():
        return str(int(number))
    return str(number).strip()


def _bands(edges: Sequence[int]) -> list[str]:
    if not edges:
        return ["any age"]
    between = [f"{low} to {high - 1}" for low, high in pairwise(edges)]
    return [f"under {edges[0]}", *between, f"{edges[-1]} and over"]


def _band(value: str, edges: Sequence[int], bands: Sequence[str]) -> str:
    """The band of an age, "" where it cannot be read."""
    found = _AGE.match(value)
    if not found:
        return ""
    years = float(found[1]) / _PER_YEAR[found[2].upper()]
    return bands[int(np.searchsorted(edges, years, side="right"))]
