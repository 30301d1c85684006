# SPDX-License-Identifier: Apache-2.0
"""Time the bootstrap of AUROC and FROC beside scikit-learn and MONAI called in a loop.

    python benchmarks/bootstrap.py [--images 100000] [--resamples 1000] [--looped 5]

The loops see the first resamples of the same draw, and their values must be equal to 1e-9, or the
run stops; their time for all resamples is calculated from these. MONAI's curve counts at every
threshold, so scores have four decimals here: with all of them one resample would take minutes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from monai.metrics import compute_froc_curve_data
from sklearn.metrics import roc_auc_score

from monai_kd.metrics import FROC_RATES, Candidates, bootstrap_auroc, froc_score
from monai_kd.metrics.bootstrap import bootstrap
from monai_kd.metrics.froc_score import weighted_froc_score
from monai_kd.metrics.weighted_auroc import Cases, weighted_auroc

GOAL_SECONDS = 10.0


def scores(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of four decimals, and labels.

    Args:
        images: number of images.
    """
    rng = np.random.default_rng(0)
    label = (rng.random(images) < 0.3).astype(float)
    return (1 / (1 + np.exp(-label - rng.normal(size=images)))).round(4), label


def candidates(images: int) -> Candidates:
    """Return candidates with scores of four decimals, three false positives per image.

    Args:
        images: number of images.
    """
    rng = np.random.default_rng(0)
    lesions = (rng.random(images) < 0.4) * rng.integers(1, 3, images)
    image = np.repeat(np.arange(images), lesions)
    lesion = np.arange(len(image)) - np.repeat(np.cumsum(lesions) - lesions, lesions)
    found = rng.random(len(image)) < 0.8
    others = rng.integers(0, images, 3 * images)
    score = np.concatenate([rng.random(found.sum()) ** 0.3, rng.random(len(others))]).round(4)
    return Candidates(
        np.concatenate([image[found], others]),
        np.maximum(score, 1e-4),
        np.zeros((len(score), 4)),
        np.concatenate([lesion[found], np.full(len(others), -1)]),
        lesions,
    )


def monai_score(case: Candidates, count: np.ndarray) -> float:
    """Return the FROC score of copied images from MONAI's curve.

    Args:
        case: the candidates.
        count: how often each image counts, ``(N,)``.
    """
    times = count[case.image]
    false, hit = case.false_positive, case.hit
    total = int((count * case.lesions).sum())
    found = np.repeat(case.score[hit], times[hit])
    fp, recall = compute_froc_curve_data(
        np.repeat(case.score[false], times[false]),
        np.append(found, np.zeros(total - len(found))),
        total,
        case.images,
    )
    place = np.searchsorted(fp[::-1], FROC_RATES, side="right") - 1
    return float(recall[::-1][place].mean())


def compare(
    name: str,
    ours: Callable[[], object],
    statistic: Callable[[np.ndarray], np.ndarray],
    theirs: Callable[[np.ndarray], float],
    chosen: argparse.Namespace,
) -> None:
    """Print the time of all resamples, ours and theirs in a loop, and check equal values.

    Args:
        name: what is resampled, and what it is compared with.
        ours: all resamples at once.
        statistic: ours, from counts.
        theirs: the same value of one resample.
        chosen: ``images``, ``resamples``, ``looped``.
    """
    started, used = time.perf_counter(), time.process_time()
    ours()
    seconds, used = time.perf_counter() - started, time.process_time() - used
    counts = bootstrap(lambda count: count, chosen.images, resamples=chosen.looped)
    started = time.perf_counter()
    expected = [theirs(count) for count in counts]
    loop = (time.perf_counter() - started) / chosen.looped * chosen.resamples
    worst = float(np.abs(statistic(counts) - expected).max())
    if not worst <= 1e-9:
        raise SystemExit(f"{name}: values differ by {worst}.")
    print(
        f"{name}, {chosen.images:,} images, {chosen.resamples:,} resamples: ours {seconds:.1f} s "
        f"(goal {GOAL_SECONDS:.0f} s; {used:.1f} s of CPU), loop {loop:.0f} s calculated from "
        f"{chosen.looped}, {loop / seconds:.0f}x; largest difference {worst:.0e}"
    )


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--images", type=int, default=100_000, help="images, each a patient")
    parser.add_argument("--resamples", type=int, default=1000, help="resamples of ours")
    parser.add_argument("--looped", type=int, default=5, help="resamples of the loops")
    chosen = parser.parse_args()
    prob, label = scores(chosen.images)
    high, low = (
        Cases(prob[rows], np.flatnonzero(rows)) for rows in (label == value for value in (1, 0))
    )
    compare(
        "AUROC, scikit-learn",
        lambda: bootstrap_auroc(prob, label, resamples=chosen.resamples),
        weighted_auroc(high, low),
        lambda count: float(roc_auc_score(label, prob, sample_weight=count)),
        chosen,
    )
    case = candidates(chosen.images)
    compare(
        "FROC score, MONAI",
        lambda: froc_score(case, resamples=chosen.resamples),
        weighted_froc_score(case, np.arange(chosen.images), FROC_RATES),
        lambda count: monai_score(case, count),
        chosen,
    )


if __name__ == "__main__":
    main()
