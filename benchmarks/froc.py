# SPDX-License-Identifier: Apache-2.0
"""Time the FROC curve and the matching of boxes beside MONAI's functions, on the same data.

    python benchmarks/froc.py [--candidates 10000] [--images 10000] [--rounds 5]

The arrays must be equal, or the run stops. Times are CPU times of one thread, the best of the
rounds, by turns. The mask route is MONAI's ``compute_fp_tp_probs_nd``, which needs a label mask of
each image: the goal is for the route from boxes to hits, painting included; without it is printed
too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from monai.metrics import compute_fp_tp_probs_nd, compute_froc_curve_data

from monai_kd.metrics import Candidates, froc_curve, match_candidates

SIDE = 1024


def best_of(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """Return the best CPU time of each call in seconds, all timed by turns.

    Args:
        rounds: how often each is called.
        calls: what to time.
    """
    times = np.full((rounds, len(calls)), np.inf)
    for number in range(rounds):
        for place, call in enumerate(calls):
            started = time.process_time()
            call()
            times[number, place] = time.process_time() - started
    return [float(value) for value in times.min(axis=0)]


def scored(count: int, *, all_hit: bool) -> Candidates:
    """Return candidates of which a quarter hit.

    Args:
        count: number of candidates.
        all_hit: whether no lesion is missed.
    """
    rng = np.random.default_rng(count)
    hits = count // 4
    images = max(hits // 2, 1)
    image = np.append(np.arange(hits) % images, rng.integers(0, images, count - hits))
    lesion = np.append(np.arange(hits) // images, np.full(count - hits, -1))
    lesions = np.bincount(image[:hits], minlength=images) + (0 if all_hit else 1)
    return Candidates(image, rng.random(count), np.zeros((count, 4)), lesion, lesions)


def compare_curves(count: int, rounds: int) -> None:
    """Print the time of the whole curve, ours and MONAI's, and check that both are equal.

    Args:
        count: number of candidates.
        rounds: timed rounds.
    """
    for all_hit in (False, True):
        case = scored(count, all_hit=all_hit)
        total = int(case.lesions.sum())
        false, hit = case.score[case.false_positive], case.score[case.hit]
        hit = np.append(hit, np.zeros(total - len(hit)))
        theirs = compute_froc_curve_data(false, hit, total, case.images)
        ours = froc_curve(case, monai_compat=True)
        np.testing.assert_array_equal(ours.fp_per_image, theirs[0])
        np.testing.assert_array_equal(ours.recall, theirs[1])
        more = len(froc_curve(case).recall) - len(theirs[0])
        fast, slow = best_of(
            rounds,
            lambda case=case: froc_curve(case),  # type: ignore[misc]
            lambda c=(false, hit, total, case.images): compute_froc_curve_data(*c),  # type: ignore[misc]
        )
        print(
            f"curve of {count:,} candidates, lesions {'all hit' if all_hit else 'missed too'}: "
            f"ours {fast * 1e3:.2f} ms, MONAI {slow * 1e3:.0f} ms, {slow / fast:.0f}x "
            f"(goal 300x); equal arrays, {more} operating point more"
        )


def boxes(images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return points and lesions of many images: two lesions that do not overlap, five points.

    Args:
        images: number of images.
    """
    rng = np.random.default_rng(images)
    corner = rng.integers(0, SIDE // 2 - 130, (images, 2, 2))
    corner[:, 1] += SIDE // 2
    lesions = np.concatenate([corner, corner + rng.integers(40, 130, corner.shape)], axis=2)
    near = lesions[:, [0, 0, 1], :2] + rng.integers(-30, 70, (images, 3, 2))
    points = np.concatenate([near, rng.integers(0, SIDE, (images, 2, 2))], axis=1)
    return np.clip(points, 0, SIDE - 1), rng.random((images, 5)), lesions, np.arange(images)


def compare_matching(images: int, rounds: int) -> None:
    """Print the time to match all boxes, ours and by masks, and check that the hits are equal.

    Args:
        images: number of images.
        rounds: timed rounds of ours; the masks are looked up once.
    """
    points, score, lesions, number = boxes(images)
    flat = (np.repeat(number, 5), score.ravel(), np.tile(points.reshape(-1, 2), 2))
    other = (np.repeat(number, 2), lesions.reshape(-1, 4))
    (fast,) = best_of(rounds, lambda: match_candidates(*flat, *other, images=images))
    ours = match_candidates(*flat, *other, images=images)
    by_lesion = np.zeros((images, 2))
    by_lesion[ours.image[ours.hit], ours.lesion[ours.hit]] = ours.score[ours.hit]
    false = np.split(
        ours.score[ours.false_positive],
        np.searchsorted(ours.image[ours.false_positive], number[1:]),
    )
    painting = looking = 0.0
    for image in range(images):
        started = time.process_time()
        # The type of scipy.ndimage.label; `full`, for `zeros` maps one empty page again and again.
        mask = np.full((SIDE, SIDE), 0, np.int32)
        for place, (x_min, y_min, x_max, y_max) in enumerate(lesions[image]):
            mask[y_min:y_max, x_min:x_max] = place + 1
        painted = time.process_time()
        fp, tp, _ = compute_fp_tp_probs_nd(score[image], points[image][:, ::-1], mask)
        looking += time.process_time() - painted
        painting += painted - started
        np.testing.assert_array_equal(np.sort(fp), np.sort(false[image]))
        np.testing.assert_allclose(tp, by_lesion[image][: len(tp)], atol=1e-7)  # theirs is float32
    print(
        f"matching of {images:,} images: ours {fast * 1e3:.1f} ms, masks "
        f"{looking + painting:.1f} s ({(looking + painting) / fast:.0f}x; goal 300x), of these "
        f"without painting {looking:.1f} s ({looking / fast:.0f}x); equal hits"
    )


def main() -> None:
    """Run both tables and the curve of 500,000 candidates."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--candidates", type=int, default=10_000, help="candidates of the curve")
    parser.add_argument("--images", type=int, default=10_000, help="images to match")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    chosen = parser.parse_args()
    compare_curves(chosen.candidates, chosen.rounds)
    many = scored(500_000, all_hit=False)
    (seconds,) = best_of(chosen.rounds, lambda: froc_curve(many))
    print(f"curve of 500,000 candidates: ours {seconds:.3f} s (goal 0.2 s)")
    compare_matching(chosen.images, chosen.rounds)


if __name__ == "__main__":
    main()
