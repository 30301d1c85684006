# SPDX-License-Identifier: Apache-2.0
"""Numbers that tell whether films are still told apart."""

import math

import numpy as np
import pytest

from monai_kd.metrics import (
    effective_rank,
    effective_temperature,
    mean_similarity,
    mutual_information,
)


# Oracle: the definition, from numpy's singular values of the features themselves.
@pytest.mark.parametrize(("films", "columns"), [(200, 16), (5, 16), (16, 16)])
def test_effective_rank_is_that_of_the_singular_values(films, columns):
    features = np.random.RandomState(0).randn(films, columns) * np.arange(1, columns + 1)
    share = np.linalg.svd(features, compute_uv=False)
    share = share / share.sum()
    expected = math.exp(-sum(p * math.log(p) for p in share))
    assert effective_rank(features.T @ features) == pytest.approx(expected, rel=1e-6)


def test_effective_rank_counts_the_directions_in_use():
    one, three = np.outer(np.ones(4), np.ones(4)), np.diag([1.0, 1.0, 1.0, 0.0])
    assert effective_rank(one) == pytest.approx(1, abs=1e-5)
    assert effective_rank(three) == pytest.approx(3)
    assert effective_rank(7 * three) == pytest.approx(3)


@pytest.mark.parametrize("gram", [np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_effective_rank_of_nothing_is_not_a_number(gram):
    assert math.isnan(effective_rank(gram))


# Oracle: all pairs, one by one.
def test_mean_similarity_is_the_mean_over_all_pairs():
    features = np.random.RandomState(1).randn(7, 3) + 1
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [a @ b for i, a in enumerate(features) for j, b in enumerate(features) if i != j]
    assert mean_similarity(features.sum(axis=0), 7) == pytest.approx(np.mean(pairs))


# Oracle: the sum over films and prototypes of p log(p / (q r)), the other way to write it.
def test_information_is_that_between_film_and_prototype():
    answers = np.random.RandomState(2).dirichlet(np.ones(6) * 0.3, size=9)
    marginal = answers.mean(axis=0)
    mean_entropy = -(answers * np.log(answers)).sum(axis=1).mean()
    expected = (answers / 9 * np.log(answers / marginal)).sum()
    assert mutual_information(marginal, mean_entropy) == pytest.approx(expected)


def test_the_same_answer_for_all_tells_nothing():
    answer = np.array([0.2, 0.8])
    same = -(answer * np.log(answer)).sum()
    assert mutual_information(answer, same) == pytest.approx(0, abs=1e-12)
    assert mutual_information(answer, same + 1e-9) == 0.0  # rounding never makes it negative


# Oracle: films and prototypes drawn at random, answers and their information computed in full.
@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("spread", [0.02, 0.05])
def test_effective_temperature_is_that_of_random_prototypes(temperature, spread):
    random = np.random.RandomState(3)
    features = np.ones((300, 64)) / 8 + spread * random.randn(300, 64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    prototypes = random.randn(4000, 64)
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    logits = features @ prototypes.T / temperature
    answers = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers /= answers.sum(axis=1, keepdims=True)
    mean_entropy = -(answers * np.log(answers)).sum(axis=1).mean()
    found = effective_temperature(
        mutual_information(answers.mean(axis=0), mean_entropy),
        similarity=mean_similarity(features.sum(axis=0), 300),
        dimensions=64,
    )
    assert found == pytest.approx(temperature, rel=0.1)


def test_effective_temperature_without_information():
    assert effective_temperature(0.0, similarity=0.5, dimensions=8) == math.inf
    assert math.isnan(effective_temperature(math.nan, similarity=0.5, dimensions=8))
