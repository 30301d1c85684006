# SPDX-License-Identifier: Apache-2.0
"""Temperature scaling: one number, fitted on validation, that makes probabilities honest.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
https://arxiv.org/abs/1706.04599. Ours: logits are taken back from the probabilities, so that
``predictions.csv`` is enough; for sigmoid, one temperature serves all findings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_kd.metrics.score_arrays import score_arrays, whole_rows
from monai_kd.utils import check_choice

__all__ = ["apply_temperature", "fit_temperature"]

FloatArray = NDArray[np.float64]
_log = logging.getLogger(__name__)
_SMALLEST = 5e-7  # half a unit of what predictions.csv shows
_COLDEST, _HOTTEST = 0.05, 20.0


def fit_temperature(prob: Any, label: Any, *, activation: str) -> float:
    r"""Return the temperature :math:`T` with the smallest cross-entropy of ``logits / T``.

    The loss is convex in :math:`1/T`, so its slope has one root. Above 1 the network was too sure
    of itself, below 1 too timid. Ranks, and so the AUROC, do not change.

    Args:
        prob: probabilities on the validation section, ``(N, C)``; rows sum to 1 for softmax.
        label: 1, 0, or NaN for unknown, ``(N, C)``. For softmax a row with any NaN is left out.
        activation: ``"softmax"`` or ``"sigmoid"``.

    Returns:
        The temperature, held between 0.05 and 20: labels that the logits separate without an
        error have no best one. 1.0, and a warning in the log, where the data say nothing: all
        labels of a finding are alike in every finding, or all logits are 0.

    Raises:
        ValueError: if values are not probabilities or labels, or no label is known.

    Example:
        >>> round(fit_temperature([[0.9], [0.9], [0.1], [0.1]], [[1], [0], [0], [1]],
        ...                       activation="sigmoid"), 1)
        20.0
    """
    check_choice("fit_temperature", "activation", activation, ("softmax", "sigmoid"))
    probs, truth = score_arrays("fit_temperature", prob, label)
    truth = whole_rows(truth, activation)
    if np.isnan(truth).all():
        raise ValueError(
            "fit_temperature: `label` must hold at least one known label, got none. "
            "Fit on a section that is labeled."
        )
    logits = _logits(probs, activation)
    if not _informative(logits, truth):
        _log.warning(
            "fit_temperature: `label` must hold both classes of a finding and `prob` must tell "
            "images apart, got neither; the probabilities stay as they are. Fit on a larger "
            "section."
        )
        return 1.0
    pull = np.where(np.isnan(truth), 0, truth)
    known = ~np.isnan(truth)

    def slope(log_temperature: float) -> float:
        """How the loss changes with 1/T: what is expected minus what is seen, times the logits."""
        scaled = _activate(logits / np.exp(log_temperature), activation)
        return float((logits * (scaled - pull))[known].sum())

    return float(np.exp(_root(slope, float(np.log(_COLDEST)), float(np.log(_HOTTEST)))))


def apply_temperature(prob: Any, temperature: float, *, activation: str) -> FloatArray:
    """Return the probabilities that the network gives when its logits are divided.

    Args:
        prob: probabilities, ``(N, C)``; 0 and 1 are read as 5e-7 from there.
        temperature: above 0; 1 changes nothing.
        activation: ``"softmax"`` or ``"sigmoid"``.

    Raises:
        ValueError: if ``temperature`` is not above 0.

    Example:
        >>> apply_temperature([[0.9, 0.1]], 2.0, activation="softmax")
        array([[0.75, 0.25]])
    """
    check_choice("apply_temperature", "activation", activation, ("softmax", "sigmoid"))
    if not temperature > 0:
        raise ValueError(
            f"apply_temperature: `temperature` must be above 0, got {temperature}. "
            "Take it from fit_temperature."
        )
    return _activate(_logits(np.asarray(prob, np.float64), activation) / temperature, activation)


def _logits(prob: FloatArray, activation: str) -> FloatArray:
    safe = np.clip(prob, _SMALLEST, 1 - _SMALLEST)
    if activation == "sigmoid":
        return np.asarray(np.log(safe / (1 - safe)))
    logs = np.log(safe)
    return np.asarray(logs - logs.max(axis=1, keepdims=True))


def _activate(logits: FloatArray, activation: str) -> FloatArray:
    if activation == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(logits / 2)))
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def _informative(logits: FloatArray, truth: FloatArray) -> bool:
    """Whether a finding has both classes, and a logit that is not 0."""
    both = (truth == 1).any(axis=0) & (truth == 0).any(axis=0)
    return bool(both.any() and logits[~np.isnan(truth)].any())


def _root(slope: Callable[[float], float], low: float, high: float) -> float:
    """Root of a slope that falls from plus (cold) to minus (hot), or the end that is nearer."""
    from scipy.optimize import brentq

    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    return float(brentq(slope, low, high, xtol=1e-6))
