# SPDX-License-Identifier: Apache-2.0
"""Which candidate hits which lesion, for all images at once.

The candidates of an image come in order of their score. Each takes, of the lesions that it meets
and that none before it has taken, the one that it meets best. One that meets only lesions already
taken is a repeated hit: neither a hit nor a false positive. One that meets none is a false
positive. This is the greedy rule of COCO (Lin et al., ECCV 2014) but for repeated hits, which COCO
counts as false positives; that they are ignored is the rule of FROC studies (Bunch et al.,
"A free-response approach to the measurement and characterization of radiographic-observer
performance", J. Appl. Photogr. Eng. 4, 1978). Sorting replaces the loop over images; that is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_kd.metrics.overlap import MATCHING_RULES, Pairs, pairs_that_meet
from monai_kd.metrics.ranking import descending
from monai_kd.utils import check_choice

__all__ = ["FALSE_POSITIVE", "REPEATED_HIT", "Candidates", "match_candidates"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

FALSE_POSITIVE = -1
"""In ``Candidates.lesion``: meets no lesion."""

REPEATED_HIT = -2
"""In ``Candidates.lesion``: meets only lesions that better candidates have hit; it is ignored."""

_PAIRS_AT_ONCE = 1 << 16  # half a MB for each array of theirs


@dataclass(frozen=True)
class Candidates:
    """Candidates of N images, and the lesion that each has hit.

    Args:
        image: number of the image, in [0, N), ``(M,)``.
        score: the higher, the surer, finite, ``(M,)``.
        box: ``x_min, y_min, x_max, y_max`` in pixels, maxima exclusive, ``(M, 4)``.
        lesion: number of the lesion that it has hit, counted from 0 within its image; or
            :data:`FALSE_POSITIVE` or :data:`REPEATED_HIT`; ``(M,)``.
        lesions: number of lesions of each image, ``(N,)``.
        patient_id: who each image belongs to, N of them; None: every image is a patient.

    Raises:
        ValueError: if the lengths do not fit, a number is out of range, or a score is not finite.
    """

    image: IntArray
    score: FloatArray
    box: FloatArray
    lesion: IntArray
    lesions: IntArray
    patient_id: Sequence[object] | None = None

    def __post_init__(self) -> None:
        count, images = len(self.score), len(self.lesions)
        if self.patient_id is not None and len(self.patient_id) != images:
            raise ValueError(
                f"Candidates: `patient_id` must have one entry per image, {images}, got "
                f"{len(self.patient_id)}. Give the ids in the order of `lesions`."
            )
        if not len(self.image) == len(self.lesion) == len(self.box) == count:
            raise ValueError(
                "Candidates: `image`, `score`, `box` and `lesion` must have one entry per "
                f"candidate, got {len(self.image)}, {count}, {len(self.box)} and "
                f"{len(self.lesion)}. Images without candidates have no entry."
            )
        _check_numbers("Candidates", self.image, images)
        _check_scores("Candidates", self.score)
        if count and not (self.lesion < self.lesions[self.image]).all():
            raise ValueError(
                "Candidates: `lesion` must be below the number of lesions of its image, got a "
                "larger one. Count the lesions of each image from 0."
            )

    @property
    def images(self) -> int:
        """Number of images, with and without candidates."""
        return len(self.lesions)

    @property
    def false_positive(self) -> NDArray[np.bool_]:
        """Whether each candidate is a false positive, ``(M,)``."""
        return np.asarray(self.lesion == FALSE_POSITIVE)

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Whether each candidate is the first on its lesion, ``(M,)``."""
        return np.asarray(self.lesion >= 0)


def match_candidates(
    image: ArrayLike,
    score: ArrayLike,
    box: ArrayLike,
    lesion_image: ArrayLike,
    lesion_box: ArrayLike,
    *,
    images: int,
    rule: str = "center",
    threshold: float = 0.5,
    tolerance: float = 0.0,
    patient_id: Sequence[object] | None = None,
) -> Candidates:
    """Return the candidates with the lesion that each hits; best score first, ties as given.

    A candidate that meets several lesions takes the one whose center is nearest (``"center"``) or
    that it overlaps most (the others).

    Args:
        image: number of each candidate's image, in [0, ``images``), ``(M,)``.
        score: ``(M,)``.
        box: ``x_min, y_min, x_max, y_max`` of the candidates, ``(M, 4)``; a point is a box of
            no size.
        lesion_image: number of each lesion's image, ``(L,)``. The lesions of an image are
            numbered in the order in which they stand here.
        lesion_box: ``(L, 4)``.
        images: number of images, with and without candidates or lesions.
        rule: one of :data:`MATCHING_RULES`. ``"center"``: the center of the candidate's box lies
            in the lesion's; ``"iou"``, ``"iobb"``: the overlap is at least ``threshold``.
        threshold: least overlap, in (0, 1]; of no effect for ``"center"``.
        tolerance: pixels by which lesions are enlarged on each side for ``"center"``, at least 0.
        patient_id: kept in the result.

    Raises:
        ValueError: if shapes, numbers or settings do not fit.

    Example:
        >>> match_candidates([0, 0, 0], [0.9, 0.8, 0.7], [[2, 2, 4, 4], [3, 3, 5, 5], [8, 8, 9, 9]],
        ...                  [0], [[0, 0, 6, 6]], images=1).lesion.tolist()
        [0, -2, -1]
    """
    _check_settings(rule, threshold, tolerance)
    where, scores, boxes = _checked(image, box, images, np.asarray(score, np.float64))
    lesion_where, _, lesion_boxes = _checked(lesion_image, lesion_box, images)
    order = np.argsort(lesion_where, kind="stable")
    lesions = np.bincount(lesion_where, minlength=images)
    first = np.cumsum(lesions) - lesions  # of each image, in `order`
    box_columns, lesion_columns = boxes.T, np.ascontiguousarray(lesion_boxes[order].T)
    least = tolerance if rule == "center" else threshold
    parts = []
    for some, pairs in _pairs(where, lesions, first):
        box_of = np.ascontiguousarray(box_columns[:, some])
        met_here, lesion, fit = pairs_that_meet(box_of, lesion_columns, pairs, rule, least)
        parts.append((met_here + some.start, lesion, fit))
    candidate, lesion, fit = _joined(parts)
    hit = np.full(len(scores), FALSE_POSITIVE, np.int64)
    met = candidate[np.append(True, candidate[1:] != candidate[:-1])[: len(candidate)]]
    met = met[descending(scores[met])]
    rank = np.empty(len(scores), np.int64)
    rank[met] = np.arange(len(met))
    taken = _take_turns(rank[candidate], lesion, fit, len(met), len(order))
    hit[met] = np.where(taken >= 0, taken - first[where[met]], REPEATED_HIT)
    return Candidates(where, scores, boxes, hit, lesions, patient_id)


def _joined(parts: list[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    none = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    candidates, lesions, fits = zip(none, *parts, strict=True)
    return np.concatenate(candidates), np.concatenate(lesions), np.concatenate(fits)


def _pairs(
    where: IntArray, lesions: IntArray, first: IntArray
) -> Iterator[tuple[slice, tuple[IntArray, IntArray]]]:
    """Candidates, some at once, and their pairs, each with a lesion of its image."""
    count = lesions[where]
    total = np.cumsum(count)
    start = 0
    while start < len(count):
        done = total[start] - count[start]
        end = max(start + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right")))
        some = count[start:end]
        candidate = np.repeat(np.arange(end - start), some)
        skipped = np.repeat(total[start:end] - some - done - first[where[start:end]], some)
        yield slice(start, end), (candidate, np.arange(len(candidate)) - skipped)
        start = end


def _take_turns(
    rank: IntArray, lesion: IntArray, fit: FloatArray, candidates: int, lesions: int
) -> IntArray:
    """Lesion taken by each candidate, by rank: the best rank chooses first.

    Who stands first in line for the lesion that it likes best gets it whatever the others do; so
    all such pairs of all images are settled at once, and the rest in the next round.
    """
    taken = np.full(candidates, REPEATED_HIT, np.int64)
    order = _by_rank(rank, fit, candidates)
    rank, lesion = rank[order], lesion[order]
    while len(rank):
        favorite = np.ones(len(rank), np.bool_)
        favorite[1:] = rank[1:] != rank[:-1]
        first_in_line = np.full(lesions, candidates, np.int64)
        first_in_line[lesion[::-1]] = rank[::-1]  # sorted by rank: the smallest is written last
        settled = favorite & (first_in_line[lesion] == rank)
        taken[rank[settled]] = lesion[settled]
        gone = np.zeros(lesions, np.bool_)
        gone[lesion[settled]] = True
        left = (taken[rank] == REPEATED_HIT) & ~gone[lesion]
        rank, lesion = rank[left], lesion[left]
    return taken


def _by_rank(rank: IntArray, fit: FloatArray, candidates: int) -> IntArray:
    """Order of the pairs by rank, and for each candidate the best fit first, ties as given."""
    if (rank[1:] == rank[:-1]).any():  # the pairs of a candidate stand together
        return np.lexsort((-fit, rank))
    place = np.full(candidates, -1, np.int64)  # each rank stands once: nothing to sort
    place[rank] = np.arange(len(rank))
    return place[place >= 0]


def _checked(
    image: ArrayLike, box: ArrayLike, images: int, score: FloatArray | None = None
) -> tuple[IntArray, FloatArray, FloatArray]:
    where = np.asarray(image, np.int64).reshape(-1)
    boxes = np.asarray(box, np.float64).reshape(-1, 4)
    scores = np.zeros(len(where)) if score is None else score.reshape(-1)
    if not len(where) == len(boxes) == len(scores):
        raise ValueError(
            "match_candidates: images, scores and boxes must be as many, got "
            f"{len(where)}, {len(scores)} and {len(boxes)}. Repeat the image's number for each box."
        )
    _check_numbers("match_candidates", where, images)
    _check_scores("match_candidates", scores)
    if not all((boxes[:, axis] <= boxes[:, axis + 2]).all() for axis in (0, 1)):
        raise ValueError(
            "match_candidates: a box must be (x_min, y_min, x_max, y_max) with minima not above "
            "maxima, got another. Give corners, not a corner and a size."
        )
    return where, scores, boxes


def _check_numbers(who: str, image: IntArray, images: int) -> None:
    if len(image) and (image.min() < 0 or image.max() >= images):
        raise ValueError(
            f"{who}: the number of an image must be in [0, {images}), got "
            f"{image.min()} to {image.max()}. Count the images from 0."
        )


def _check_scores(who: str, score: FloatArray) -> None:
    bad = int((~np.isfinite(score)).sum())
    if bad:
        raise ValueError(
            f"{who}: `score` must be finite, got {bad} that are NaN or infinite. A NaN means that "
            "the training has diverged."
        )


def _check_settings(rule: str, threshold: float, tolerance: float) -> None:
    check_choice("match_candidates", "rule", rule, MATCHING_RULES)
    if not 0 < threshold <= 1:
        raise ValueError(
            f"match_candidates: `threshold` must be in (0, 1], got {threshold}. It is an overlap."
        )
    if tolerance < 0:
        raise ValueError(
            f"match_candidates: `tolerance` must be at least 0, got {tolerance}. It is in pixels."
        )
