# SPDX-License-Identifier: Apache-2.0
"""How often a 95% interval holds the truth: simulated patients with several images each.

    python benchmarks/coverage.py [--simulations 2000] [--seed 0]

Every simulation draws patients with one to four images (2.5 on average; half of the noise in a
model's opinion belongs to the patient, half to the image; all images of a patient have one
label), as many as give 50, 200 or 1000 images: at 50 these are about 20 patients, 8 of them sick.
Two models see them, with noise that correlates by 0.7; the drop is that of the first on one half of
the patients to a weaker one on the other half. The truth is the score on a million images.
Printed is the share of intervals, in percent, that hold it, a minus where that is below 93, a plus
where it is above 97 (cautious: wider than they need be); intervals that are not defined (a finding
on one patient only) are left out, and counted.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics import (
    SCORES,
    proportion_interval,
    score_difference,
    score_drop,
    score_interval,
)
from monai_kd.metrics.predictive_values import predictive_values

IMAGES = (50, 200, 1000)
RANGE = (93.0, 97.0)
DIFFERENCES = ("macro_auprc", "accuracy", "balanced_accuracy", "macro_f1", "brier")
LARGE = 1_000_000

FloatArray = NDArray[np.float64]
World = Callable[[np.random.Generator, int], "Cohort"]


@dataclass(frozen=True)
class Cohort:
    """What two models, and the first one's weaker brother, say of the same images.

    Args:
        prob: of the first model, ``(N, C)``.
        other: of a second one that is as good.
        weaker: of a third one that is not.
        label: 0 or 1, ``(N, C)``.
        patient: number of each image's patient, ``(N,)``.
        activation: ``"sigmoid"`` or ``"softmax"``.
    """

    prob: FloatArray
    other: FloatArray
    weaker: FloatArray
    label: FloatArray
    patient: NDArray[Any]
    activation: str


def one_finding(random: np.random.Generator, images: int) -> Cohort:
    """Draw images with or without a finding; the AUROC is 0.80, the weaker model's 0.71.

    Args:
        random: source of chance.
        images: how many.
    """
    return _binary(random, images, share=0.4, shifts=(1.2, 0.8))


def rare_finding(random: np.random.Generator, images: int) -> Cohort:
    """Draw images with a finding on 7% of the patients; the AUROC is 0.90, the weaker one's 0.80.

    At 50 images that is one patient or two; a model that never says yes is common.

    Args:
        random: source of chance.
        images: how many.
    """
    return _binary(random, images, share=0.07, shifts=(1.8, 1.2))


def three_findings(random: np.random.Generator, images: int) -> Cohort:
    """Draw images with one of three findings, on 40, 35 and 25% of the patients.

    Args:
        random: source of chance.
        images: how many.
    """
    patient = _patients(random, images)
    label = np.eye(3)[random.choice(3, patient[-1] + 1, p=[0.4, 0.35, 0.25])[patient]]
    noise, other_noise = _noises(random, patient, 3)

    def says(shift: float, own: FloatArray) -> FloatArray:
        odds = np.exp(1.2 * (shift * label + own))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    return Cohort(
        says(1.5, noise), says(1.5, other_noise), says(1.1, other_noise), label, patient, "softmax"
    )


WORLDS: dict[str, World] = {
    "one finding": one_finding,
    "three findings": three_findings,
    "rare finding": rare_finding,
}


def intervals(cohort: Cohort) -> dict[str, tuple[float, float, float]]:
    """Return estimate and limits of everything that is checked, by name.

    Args:
        cohort: what the models say.
    """
    settings: dict[str, Any] = {"activation": cohort.activation, "patient_id": cohort.patient}
    found: dict[str, tuple[float, float, float]] = {
        name: score_interval(name, cohort.prob, cohort.label, **settings) for name in SCORES
    }
    said, true = cohort.prob[:, 0] >= 0.5, cohort.label[:, 0] == 1
    found["sensitivity"] = proportion_interval(said & true, true, group=cohort.patient)
    found["specificity"] = proportion_interval(~said & ~true, ~true, group=cohort.patient)
    found["positive predictive value"] = proportion_interval(
        said & true, said, group=cohort.patient
    )
    for name, value in predictive_values(
        said, cohort.label[:, 0], prevalence=0.05, patient_id=cohort.patient.tolist()
    ).items():
        found[f"{name.upper()} at a prevalence of 5%"] = value
    gains = dict.fromkeys(DIFFERENCES, ("weaker",)) | {"macro_auroc": ("equal", "weaker")}
    for name, models in gains.items():
        for model in models:
            other = cohort.other if model == "equal" else cohort.weaker
            gain = score_difference(name, cohort.prob, other, cohort.label, **settings)
            found[f"{name} difference, {model}"] = gain[:3]
    home = cohort.patient <= cohort.patient[-1] // 2
    sides = [
        (prob[side], cohort.label[side], cohort.patient[side])
        for prob, side in ((cohort.prob, home), (cohort.weaker, ~home))
    ]
    drop = score_drop("macro_auroc", *sides, activation=cohort.activation)
    return found | {"macro_auroc drop, other patients": drop[:3]}


def coverage(
    world: World, images: int, *, simulations: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return how many intervals hold the truth, and how many are not defined, in percent.

    Args:
        world: draws a cohort.
        images: in each simulation.
        simulations: how many.
        seed: of chance.
    """
    truth = _truth(world, seed, LARGE)
    random = np.random.default_rng([seed, 2, images])
    held: dict[str, list[float]] = {name: [] for name in truth}
    for _ in range(simulations):
        for name, (_, low, high) in intervals(world(random, images)).items():
            held[name].append(math.nan if math.isnan(low) else low <= truth[name] <= high)
    return {
        name: (100 * float(np.nanmean(each)), 100 * float(np.isnan(each).mean()))
        for name, each in held.items()
    }


def main() -> None:
    """Print the table of all worlds."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000, help="per number of images")
    parser.add_argument("--seed", type=int, default=0, help="of chance")
    chosen = parser.parse_args()
    started, marks = time.monotonic(), []
    for title, world in WORLDS.items():
        print(f"\n{title:<34}" + "".join(f"{images:>7} images" for images in IMAGES))
        columns = [
            coverage(world, images, simulations=chosen.simulations, seed=chosen.seed)
            for images in IMAGES
        ]
        for name in columns[0]:
            row = ""
            for column in columns:
                share, undefined = column[name]
                marks.append("-" if share < RANGE[0] else "+" if share > RANGE[1] else " ")
                row += f"{share:>7.1f}{marks[-1]}"
                row += f"({undefined:4.1f})" if undefined else "      "
            print(f"  {name:<32}{row}", flush=True)
    print(
        f"\n{marks.count(' ')} of {len(marks)} shares lie within {RANGE[0]:.0f} to "
        f"{RANGE[1]:.0f}%, {marks.count('-')} below, {marks.count('+')} above."
    )
    print("In brackets: percent of simulations without an interval.")
    print(f"{chosen.simulations} simulations each, {time.monotonic() - started:.0f} s.")


@cache
def _truth(world: World, seed: int, images: int) -> dict[str, float]:
    large = intervals(world(np.random.default_rng([seed, 1]), images))
    return {name: interval[0] for name, interval in large.items()}


def _binary(
    random: np.random.Generator, images: int, *, share: float, shifts: tuple[float, float]
) -> Cohort:
    """Images with or without a finding, on a share of the patients; good and weaker models."""
    patient = _patients(random, images)
    sick = (random.random(patient[-1] + 1) < share)[patient].astype(np.float64)
    noise, other_noise = _noises(random, patient, 1)

    def says(shift: float, own: FloatArray) -> FloatArray:
        logit = shifts[0] * (shift * (sick[:, None] - 0.5) + own) + math.log(share / (1 - share))
        return np.asarray(1 / (1 + np.exp(-logit)))

    good, weak = shifts
    return Cohort(
        says(good, noise), says(good, other_noise), says(weak, other_noise), sick[:, None],
        patient, "sigmoid",
    )  # fmt: skip


def _patients(random: np.random.Generator, images: int) -> NDArray[Any]:
    count = random.integers(1, 5, images)
    return np.repeat(np.arange(images), count)[:images]


def _noises(
    random: np.random.Generator, patient: NDArray[Any], findings: int
) -> tuple[FloatArray, FloatArray]:
    """The noise of two models, ``(N, findings)`` each, of variance 1, correlated by 0.7."""
    drawn = []
    for _ in range(2):
        whole = random.normal(size=(patient[-1] + 1, findings))[patient]
        drawn.append(math.sqrt(0.5) * (whole + random.normal(size=(len(patient), findings))))
    return drawn[0], 0.7 * drawn[0] + math.sqrt(1 - 0.7**2) * drawn[1]


if __name__ == "__main__":
    main()
