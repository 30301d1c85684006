# SPDX-License-Identifier: Apache-2.0
"""Whether what a network learns without labels still tells one film from another.

Effective rank: Roy and Vetterli, "The effective rank", EUSIPCO 2007; as a measure of
self-supervised features: Garrido et al., "RankMe", ICML 2023, https://arxiv.org/abs/2210.02885
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "distribution_entropy",
    "effective_rank",
    "effective_temperature",
    "mean_similarity",
    "mutual_information",
]


def effective_rank(gram: NDArray[Any]) -> float:
    """Return how many directions the features use: exp of the entropy of the singular values.

    The singular values are those of the features as they are, not centered, as shares of their
    sum. 1: all features lie on one line; D: all directions are used alike.

    Args:
        gram: ``features.T @ features``, ``(D, D)``, of any number of features.

    Returns:
        From 1 to D; NaN where the features are all 0 or not finite numbers.

    Example:
        >>> round(effective_rank(np.eye(4)), 6)
        4.0
    """
    values = np.asarray(gram, np.float64)
    if not np.isfinite(values).all():
        return math.nan
    singular = np.sqrt(np.linalg.eigvalsh(values).clip(min=0))
    if not singular.sum() > 0:
        return math.nan
    return math.exp(distribution_entropy(singular / singular.sum()))


def effective_temperature(information: float, *, similarity: float, dimensions: int) -> float:
    r"""Return the temperature at which random prototypes would tell films apart this little.

    Features of length 1 and prototypes in random directions give logits that differ between films
    with a variance of :math:`(1 - s) / D`, and answers that tell
    :math:`(1 - s) / (2 D \tau^2)` nats of the film, while that is little. Solved for
    :math:`\tau`, this says how flat the answers are, however much or little the features differ:
    fresh networks come out at the teacher's temperature, trained ones mostly below, and a teacher
    that answers every film alike far above.

    Args:
        information: see :func:`mutual_information`.
        similarity: s, see :func:`mean_similarity`.
        dimensions: D, numbers of a feature.

    Returns:
        At least 0; infinite where there is no information.

    Example:
        >>> round(effective_temperature(0.5, similarity=0.0, dimensions=100), 6)
        0.1
    """
    if not information > 0:
        return math.inf if information == 0 else math.nan
    return math.sqrt(max(0.0, 1 - similarity) / (2 * dimensions * information))


def distribution_entropy(share: NDArray[Any]) -> float:
    """Return the entropy of a distribution in nats.

    Args:
        share: not negative, sum 1, ``(K,)``.

    Example:
        >>> round(distribution_entropy(np.array([0.5, 0.5, 0.0])), 6)
        0.693147
    """
    some = np.asarray(share, np.float64)
    some = some[some != 0]
    return float(-(some * np.log(some)).sum())


def mean_similarity(total: NDArray[Any], count: int) -> float:
    """Return the mean cosine between two different ones of N features of length 1.

    Args:
        total: sum of the features, ``(D,)``.
        count: N, at least 2.

    Returns:
        From about 0 (or below) to 1: all features are the same.

    Example:
        >>> mean_similarity(np.array([3.0, 4.0]), 5)
        1.0
    """
    squared = float(np.square(np.asarray(total, np.float64)).sum())
    return (squared - count) / (count * (count - 1))


def mutual_information(marginal: NDArray[Any], mean_entropy: float) -> float:
    """Return how much the answer tells of the film, in nats: ``H(mean answer) - mean H(answer)``.

    Args:
        marginal: mean of the answers, each a distribution over K prototypes, ``(K,)``.
        mean_entropy: mean of the entropies of the answers, in nats.

    Returns:
        0: every film gets the same answer; at most the logarithm of K or of the number of
        different films, whichever is less.

    Example:
        Two films, each sure of a prototype of its own:

        >>> round(mutual_information(np.array([0.5, 0.5]), 0.0), 6)
        0.693147
    """
    return max(0.0, distribution_entropy(marginal) - mean_entropy)
