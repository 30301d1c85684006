# SPDX-License-Identifier: Apache-2.0
"""From the candidates of films to ``candidates.csv``, ``lesions.csv`` and the localization summary.

``candidates.csv`` has one row per candidate: id, finding, score, box, and ``lesion``: the number of
the lesion that it hit, from 0 within its film, empty for a false positive, ``repeat`` for a second
hit. ``lesions.csv`` has one row per film and finding that was scored. With both, and nothing else,
two models can be compared.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics import (
    FROC_RATES,
    REPEATED_HIT,
    Candidates,
    Interval,
    average_precision,
    froc_curve,
    froc_score,
    json_limits,
    json_number,
    match_candidates,
    wafroc,
)
from monai_kd.utils import write_text_atomically

__all__ = [
    "FilmCandidates",
    "films_by_finding",
    "localization_summary",
    "localize",
    "match_films",
    "remove_localization",
    "write_localization",
]

_log = logging.getLogger(__name__)

_TABLES = ("candidates.csv", "lesions.csv")
_CURVE_POINTS = 200


@dataclass(frozen=True, slots=True)
class FilmCandidates:
    """Candidates and lesions of one finding on one film; thousands are held, in single precision.

    Args:
        index: place of the film in its section.
        name: salted id of the film.
        patient_id: salted id of the patient, or None.
        finding: column of the finding.
        lesion_box: ``x_min, y_min, x_max, y_max`` of each lesion, ``(L, 4)``; none where the
            finding is absent.
        peak: column and row of the middle of each candidate's highest pixel, ``(M, 2)``.
        box: box round each candidate, ``(M, 4)``.
        score: height of each candidate, in [0, 1], ``(M,)``.
    """

    index: int
    name: str
    patient_id: Any
    finding: int
    lesion_box: NDArray[np.float32]
    peak: NDArray[np.float32]
    box: NDArray[np.float32]
    score: NDArray[np.float32]


def films_by_finding(shares: Iterable[Sequence[FilmCandidates]]) -> dict[int, list[FilmCandidates]]:
    """Return the films of each finding that has any, in their order, each film once.

    Args:
        shares: the films of each process; some were given to two, to make the shares even.
    """
    once = {(film.finding, film.index): film for share in shares for film in share}
    films: dict[int, list[FilmCandidates]] = {}
    for key in sorted(once):
        films.setdefault(key[0], []).append(once[key])
    return films


def localize(
    folder: Path,
    findings: Sequence[str],
    matched: Mapping[int, tuple[Sequence[FilmCandidates], Candidates]],
    *,
    rule: str,
    tolerance: float = 0.0,
) -> dict[str, dict[str, Any]]:
    """Write the tables, tell the log, and return the summary of each finding by its name.

    Args:
        folder: the run directory.
        findings: names of the C findings.
        matched: films and their :class:`~monai_kd.metrics.Candidates`, by column of the finding;
            each with a lesion.
        rule: the rule that they were matched by.
        tolerance: the tolerance that they were matched with, in pixels.
    """
    write_localization(folder, findings, matched)
    results = {
        findings[column]: localization_summary(films, found, rule=rule, tolerance=tolerance)
        for column, (films, found) in matched.items()
    }
    for name, result in results.items():
        _log.info(
            "Localization of %s: FROC score %.3f, %d lesions on %d films.",
            name,
            result["froc_score"],
            result["lesions"],
            result["images"],
        )
    return results


def match_films(
    films: Sequence[FilmCandidates], *, rule: str, tolerance: float = 0.0
) -> Candidates:
    """Return the candidates of one finding with the lesion that each hits.

    A film whose patient is not known is one of a patient of its own.

    Args:
        films: each film once; they are numbered in this order.
        rule: see :func:`monai_kd.metrics.match_candidates`; for ``"center"`` the peak must lie in
            the lesion's box, not the middle of its own box.
        tolerance: pixels by which lesions are enlarged on each side for ``"center"``, at least 0.
    """
    image = np.repeat(np.arange(len(films)), [len(film.score) for film in films])
    box = np.concatenate([film.box for film in films]).astype(np.float64)
    peak = np.concatenate([film.peak for film in films]).astype(np.float64)
    matched = match_candidates(
        image,
        np.concatenate([film.score for film in films]).astype(np.float64),
        np.concatenate([peak, peak], axis=1) if rule == "center" else box,
        *_lesions(films),
        images=len(films),
        rule=rule,
        tolerance=tolerance,
        patient_id=[film.patient_id for film in films],
    )
    return dataclasses.replace(matched, box=box)


def localization_summary(
    films: Sequence[FilmCandidates],
    candidates: Candidates,
    *,
    rule: str,
    tolerance: float = 0.0,
) -> dict[str, Any]:
    """Return how well lesions are found, ready for ``json.dump``.

    Args:
        films: of one finding, at least one of them with a lesion.
        candidates: from :func:`match_films`.
        rule: the rule that they were matched by.
        tolerance: the tolerance that they were matched with, in pixels.

    Returns:
        ``images``, ``lesions``, ``rule``, ``tolerance``; ``recall`` and ``recall_ci`` at each
        ``fp_per_image``; ``froc_score``, ``wafroc`` and ``average_precision``, the first two with
        ``_ci``; and ``curve``, the FROC curve at up to 200 points. None where the data cannot say.
    """
    curve = froc_curve(candidates)
    shown = np.unique(np.linspace(0, len(curve.recall) - 1, _CURVE_POINTS).round().astype(int))
    recalls = [froc_score(candidates, rates=(rate,)) for rate in FROC_RATES]
    return {
        "images": candidates.images,
        "lesions": int(candidates.lesions.sum()),
        "rule": rule,
        "tolerance": tolerance,
        "fp_per_image": list(FROC_RATES),
        "recall": [json_number(recall.estimate) for recall in recalls],
        "recall_ci": [json_limits(recall) for recall in recalls],
        **_named("froc_score", froc_score(candidates)),
        **_named("wafroc", wafroc(candidates)),
        "average_precision": json_number(average_precision(candidates, *_lesions(films))),
        "curve": {
            "fp_per_image": curve.fp_per_image[shown].tolist(),
            "recall": curve.recall[shown].tolist(),
        },
    }


def write_localization(
    folder: Path,
    findings: Sequence[str],
    matched: Mapping[int, tuple[Sequence[FilmCandidates], Candidates]],
) -> None:
    """Write ``candidates.csv`` and ``lesions.csv``.

    Args:
        folder: the run directory.
        findings: names of the C findings.
        matched: films and their :class:`~monai_kd.metrics.Candidates`, by column of the finding.
    """
    header = ["id", "finding", "score", "x_min", "y_min", "x_max", "y_max", "lesion"]
    rows = (
        [films[image].name, findings[column], f"{score:.6g}", *box, _lesion(lesion)]
        for column, (films, found) in matched.items()
        for image, score, box, lesion in zip(
            found.image.tolist(),
            found.score.tolist(),
            found.box.round(2).tolist(),
            found.lesion.tolist(),
            strict=True,
        )
    )
    _write(folder / _TABLES[0], header, rows)
    scored = (
        [film.name, film.patient_id, findings[column], len(film.lesion_box)]
        for column, (films, _) in matched.items()
        for film in films
    )
    _write(folder / _TABLES[1], ["id", "patient_id", "finding", "lesions"], scored)


def remove_localization(folder: Path) -> None:
    """Remove the tables of an earlier evaluation.

    Args:
        folder: the run directory.
    """
    for name in _TABLES:
        (folder / name).unlink(missing_ok=True)


def _lesions(films: Sequence[FilmCandidates]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Number of each lesion's film, and its box."""
    count = [len(film.lesion_box) for film in films]
    boxes = np.concatenate([film.lesion_box for film in films]).astype(np.float64)
    return np.repeat(np.arange(len(films)), count), boxes


def _write(path: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text_atomically(path, text.getvalue())


def _lesion(number: int) -> str:
    if number == REPEATED_HIT:
        return "repeat"
    return str(number) if number >= 0 else ""


def _named(name: str, interval: Interval) -> dict[str, Any]:
    return {name: json_number(interval.estimate), f"{name}_ci": json_limits(interval)}
