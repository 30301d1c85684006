# SPDX-License-Identifier: Apache-2.0
"""Coverage by simulation: 95% intervals over patients with one to four images each."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy import stats

from monai_kd.metrics import (
    Candidates,
    bootstrap_auroc,
    bootstrap_auroc_difference,
    froc_difference,
    froc_score,
    wafroc,
)

SETTINGS = {"resamples": 300}
SIMULATIONS = 2000


def patients(images, rng):
    return np.repeat(np.arange(images), rng.integers(1, 5, images))[:images]


def clustered(patient, rng):
    """Standard normal; half of the variance is of the patient."""
    effect = rng.normal(size=len(patient))[patient]
    return (effect + rng.normal(size=len(patient))) / np.sqrt(2)


def scored(images, rng):
    """Labels and the scores of two models, 1.5 and 1.2 standard deviations apart."""
    patient = patients(images, rng)
    label = (clustered(patient, rng) > stats.norm.ppf(0.65)).astype(float)
    hard = clustered(patient, rng)
    ours, theirs = (
        gain * label + (hard + clustered(patient, rng)) / np.sqrt(2) for gain in (1.5, 1.2)
    )
    return ours, theirs, label, patient.tolist()


def located(images, rng):
    """Candidates of two models on the same lesions."""
    patient = patients(images, rng)
    lesions = (rng.random(images) < 0.5) * rng.integers(1, 4, images)
    image = np.repeat(np.arange(images), lesions)
    lesion = np.arange(len(image)) - np.repeat(np.cumsum(lesions) - lesions, lesions)
    hard = clustered(patient, rng) / np.sqrt(2)
    return [marks(gain, hard, image, lesion, lesions, patient, rng) for gain in (1.5, 1.2)]


def marks(gain, hard, image, lesion, lesions, patient, rng):
    found = rng.random(len(image)) < 0.9
    others = np.repeat(np.arange(len(lesions)), rng.poisson(1.5, len(lesions)))
    where = np.append(image[found], others)
    score = (
        rng.normal(size=len(where))
        + hard[where]
        + np.append(np.full(found.sum(), gain), 0 * others)
    )
    hit = np.append(lesion[found], np.full(len(others), -1))
    return Candidates(where, score, np.zeros((len(where), 4)), hit, lesions, patient.tolist())


def intervals(images, rng):
    ours, theirs, label, patient_id = scored(images, rng)
    one, other = located(images, rng)
    return {
        "auroc": bootstrap_auroc(ours, label, patient_id=patient_id, **SETTINGS),
        "auroc difference": bootstrap_auroc_difference(
            ours, theirs, label, patient_id=patient_id, **SETTINGS
        ),
        "froc score": froc_score(one, **SETTINGS),
        "froc difference": froc_difference(one, other, **SETTINGS),
        "wafroc": wafroc(one, **SETTINGS),
    }


@functools.cache
def truth():
    """Means over data sets so large that their own error is of no account."""
    rng = np.random.default_rng(1)
    few = {"resamples": 2}
    rows = []
    for _ in range(8):
        ours, theirs, label, _ = scored(200_000, rng)
        one, other = located(200_000, rng)
        auroc = [bootstrap_auroc(score, label, **few).estimate for score in (ours, theirs)]
        froc = [froc_score(case, **few).estimate for case in (one, other)]
        rows.append(
            [auroc[0], auroc[0] - auroc[1], froc[0], froc[0] - froc[1], wafroc(one, **few).estimate]
        )
    return np.mean(rows, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("images", [50, 200, 1000])
def test_the_interval_holds_the_truth_as_often_as_it_says(images):
    true = truth()
    held = np.zeros(len(true))
    for seed in range(SIMULATIONS):
        found = intervals(images, np.random.default_rng([images, seed]))
        limits = np.array([[interval.low, interval.high] for interval in found.values()])
        held += (limits[:, 0] <= true) & (true <= limits[:, 1])
    coverage = dict(zip(found, held / SIMULATIONS, strict=True))
    most = 0.98 if images == 50 else 0.97  # some 20 patients, 10 of a class: rather too wide
    assert all(0.93 <= share <= most for share in coverage.values()), coverage
