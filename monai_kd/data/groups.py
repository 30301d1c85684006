# SPDX-License-Identifier: Apache-2.0
"""What is known of each film: an expert drew a finding, it is present, it is absent, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from monai_kd.data.datalist import Datalist
from monai_kd.data.describe import drawn_findings
from monai_kd.utils import MonaiKDError, check_choice

__all__ = [
    "check_choosing",
    "check_groups",
    "film_groups",
    "findings_without_drawing",
    "refuse_exclusive",
]

_log = logging.getLogger(__name__)
_GROUPS = ("drawn", "positive", "negative", "unknown")
_WANTED = {
    "drawn": ("films on which an expert drew a finding", "Build the datalist with --regions."),
    "positive": (
        "films whose label has a finding that nobody drew",
        "Label more films, or take a `method` that learns from drawn regions alone.",
    ),
    "negative": ("films without a finding (label 0)", "Add films on which nothing was found."),
}


def film_groups(items: Iterable[Mapping[str, Any]], findings: Sequence[str]) -> list[int]:
    """Return one number per film: 0 drawn, 1 positive, 2 negative, -1 nothing is known.

    The rule is that of :func:`monai_kd.losses.map_roles`, finding by finding; of several findings
    the rarest knowledge decides: a film with a drawn finding is 0, else one with a finding that is
    present is 1, else one with a finding that is absent is 2.

    Args:
        items: films of one section, with ``label`` and perhaps ``regions``. A region without a
            finding stands for every one; ``hidden_regions`` are not looked at.
        findings: names of the C findings, in the order of ``label``.

    Example:
        >>> box = {"box": [0, 0, 9, 9], "finding": "rib"}
        >>> films = [
        ...     {"label": [1, 0], "regions": [box]},
        ...     {"label": [1, 0], "regions": None},
        ...     {"label": [0, 0]},
        ...     {"label": [None, None]},
        ... ]
        >>> film_groups(films, ["rib", "clavicle"])
        [0, 1, 2, -1]
    """
    return [_group(item, findings) for item in items]


def check_groups(
    items: Iterable[Mapping[str, Any]],
    findings: Sequence[str],
    *,
    needs: Collection[str] = ("drawn", "negative"),
    ratio: Sequence[int] = (1, 1, 2),
) -> dict[str, int]:
    """Stop a training that lacks a kind of film it learns from; count the films of each kind.

    Findings that are present on some film and drawn on none are named in one warning: no teacher
    can learn where they are. Another counts films with a region of an absent finding.

    Args:
        items: films of one section, see :func:`film_groups`.
        findings: names of the C findings, in the order of ``label``.
        needs: kinds of films there must be, of ``drawn``, ``positive`` and ``negative``.
        ratio: how many films of these three kinds a batch is to hold, see
            :class:`~monai_kd.data.GroupSampler`.

    Returns:
        Number of films by kind: ``drawn``, ``positive``, ``negative`` and ``unknown``.

    Raises:
        ValueError: if ``needs`` names another kind, or ``ratio`` leaves out one that is needed.
        MonaiKDError: if there is no film of a kind that is needed; the first one is named.
    """
    films = list(items)
    groups = film_groups(films, findings)
    counts = dict(zip(_GROUPS, (groups.count(group) for group in (0, 1, 2, -1)), strict=True))
    for kind in needs:
        check_choice("check_groups", "needs", kind, _WANTED)
    _check_ratio(needs, ratio)
    for kind, (what, hint) in _WANTED.items():
        if kind in needs and not counts[kind]:
            raise MonaiKDError(
                f"check_groups: the films to train on must hold {what}, got none on {len(films)} "
                f"films. {hint}"
            )
    _warn_of_contradictions(films, findings)
    undrawn = findings_without_drawing(films, findings)
    if undrawn:
        _log.warning(
            "Nobody drew %s on any film to train on: no teacher can learn where that is. Draw it "
            "on some films, or leave it out of the findings.",
            ", ".join(undrawn),
        )
    return counts


def check_choosing(items: Iterable[Mapping[str, Any]], findings: Sequence[str], by: str) -> None:
    """Stop a training whose best epoch could not be told on its validation films.

    Args:
        items: the validation films, see :func:`film_groups`.
        findings: names of the C findings, in the order of ``label``.
        by: ``"auroc"`` needs a finding that is there on one film and not on another, ``"froc"`` a
            finding that somebody drew.

    Raises:
        MonaiKDError: if there is none.
    """
    films = list(items)
    columns = [{item["label"][column] for item in films} for column in range(len(findings))]
    if by == "auroc" and not any({0, 1} <= values for values in columns):
        raise MonaiKDError(
            "check_choosing: the section validation must hold films with and without a finding, "
            f"got {len(films)} films of one kind. Without, nobody can tell which epoch is best."
        )
    if by == "froc" and not drawn_findings(films, findings):
        raise MonaiKDError(
            "check_choosing: the section validation must hold films on which a finding is drawn "
            f"while `choose_by` is froc, got none on {len(films)} films. Draw some, or choose by "
            "auroc."
        )


def findings_without_drawing(
    items: Iterable[Mapping[str, Any]], findings: Sequence[str]
) -> list[str]:
    """Return the findings that are present on some film and that no expert drew on any.

    Args:
        items: films of one section, see :func:`film_groups`.
        findings: names of the C findings, in the order of ``label``.

    Example:
        >>> films = [{"label": [1, 1, 0], "regions": [{"box": [0, 0, 9, 9], "finding": "rib"}]}]
        >>> findings_without_drawing(films, ["rib", "clavicle", "spine"])
        ['clavicle']
    """
    films = list(items)
    drawn = drawn_findings(films, findings)
    present = {
        name
        for item in films
        for name, value in zip(findings, item["label"], strict=True)
        if value == 1
    }
    return [name for name in findings if name in present and name not in drawn]


def refuse_exclusive(datalist: Datalist) -> None:
    """Stop a training that takes each finding for there or not, on findings that exclude another.

    Args:
        datalist: what is trained on.

    Raises:
        MonaiKDError: if exactly one finding holds per film.
    """
    if datalist.exclusive:
        raise MonaiKDError(
            "refuse_exclusive: the findings must be independent of each other, each there or not, "
            f"got exactly one of {', '.join(datalist.findings)} per film. Build the datalist with "
            "a column of 1 and 0 per finding, as in `--label-columns label=fracture`."
        )


def _check_ratio(needs: Collection[str], ratio: Sequence[int] | str) -> None:
    whole = isinstance(ratio, (list, tuple)) and len(ratio) == 3
    if not whole or any(kind in needs and ratio[k] == 0 for k, kind in enumerate(_WANTED)):
        raise ValueError(
            f"check_groups: `ratio` must be three whole numbers, those of {', '.join(needs)} films "
            f'above 0, got {ratio!r}. On the command line: --ratio "[1,1,2]".'
        )


def _warn_of_contradictions(films: Sequence[Mapping[str, Any]], findings: Sequence[str]) -> None:
    count = 0
    for item in films:
        named = {region.get("finding") for region in item.get("regions") or []}
        absent = {name for name, v in zip(findings, item["label"], strict=True) if v == 0}
        count += bool(named & absent)
    if count:
        _log.warning(
            "%d films have a region of a finding that their label calls absent: the label is "
            "believed, the region is not used. Is it the right column?",
            count,
        )


def _group(item: Mapping[str, Any], findings: Sequence[str]) -> int:
    regions = item.get("regions")
    named = {region.get("finding") for region in regions or []}
    label = dict(zip(findings, item["label"], strict=True))
    if any((name in named and v != 0) or (None in named and v == 1) for name, v in label.items()):
        return 0
    if any(value == 1 for value in label.values()):
        return 1
    if regions == [] or any(value == 0 for value in label.values()):
        return 2
    return -1
