# SPDX-License-Identifier: Apache-2.0
"""The method and what it is compared with: which films, which labels, which loss, which teacher.

All share the network, the initial model and the schedules of the learning rate, so that only the
idea differs. The supervised ones take as many steps as distl takes on unlabeled films and in its
correction passes together; FixMatch and Mean Teacher take one on labeled films for each on
unlabeled ones. FixMatch: Sohn et al., NeurIPS 2020,
https://arxiv.org/abs/2001.07685; Mean Teacher: Tarvainen and Valpola, NeurIPS 2017,
https://arxiv.org/abs/1703.01780. In both, steps on unlabeled and on labeled films take turns here
(the papers add the two losses up), which is why they are called by their names with a grain of
salt: "FixMatch-style".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from monai_kd.losses import (
    ConsistencyLoss,
    DINOLoss,
    DISTLCorrectionLoss,
    DISTLLoss,
    alpha_at,
)
from monai_kd.utils import MonaiKDError

__all__ = ["METHODS", "Method", "make_methods", "method_names"]

METHODS = (
    "distl",
    "supervised",
    "supervised_all",
    "self_supervised",
    "self_training",
    "fixmatch",
    "mean_teacher",
)
"""The published method first, then what it is compared with."""


def _one(epoch: int, epochs: int) -> float:
    return 1.0


@dataclass(frozen=True)
class Method:
    """How a stage is trained.

    Args:
        name: one of :data:`METHODS`, or ``"start"``.
        loss: of a step.
        films: whose films a step sees: ``"unlabeled"``, ``"labeled"``, or ``"all"``.
        label_key: ``"label"``, or ``"hidden_label"`` for the truth of unlabeled films.
        correction: loss of a step on labeled films in between; None: there are none.
        corrected_each_step: one labeled batch after each step, instead of a pass now and then.
        momentum: share of the teacher that stays, at the start.
        momentum_end: at the end.
        pseudo_label_weight: weight of the self-training part, of epoch (from 0) and epochs.
        self_supervision_epochs: epochs after which self-supervision ends.
    """

    name: str
    loss: Callable[..., Tensor]
    films: str = "unlabeled"
    label_key: str = "label"
    correction: Callable[..., Tensor] | None = None
    corrected_each_step: bool = False
    momentum: float = 0.9995
    momentum_end: float = 1.0
    pseudo_label_weight: Callable[[int, int], float] = field(default=_one)
    self_supervision_epochs: float = math.inf

    def arrivals(self, number: int) -> range:
        """Return the rounds whose films a step of this round sees, 0 being the labeled ones.

        Args:
            number: of the round, from 0 (the initial model).
        """
        first, last = {"unlabeled": (1, number), "labeled": (0, 0), "all": (0, number)}[self.films]
        return range(first, last + 1)


def make_methods(
    *,
    activation: str,
    self_supervision: DINOLoss,
    lam: float = 0.5,
    alpha: bool = True,
    self_supervision_epochs: float = math.inf,
    momentum: float = 0.9995,
    start_momentum: float = 0.996,
    correct: bool = True,
) -> dict[str, Method]:
    """Return the methods by name, and ``"start"``, self-supervision before there are labels.

    Args:
        activation: ``"softmax"`` or ``"sigmoid"``.
        self_supervision: the DINO loss, whose centre all of them share.
        lam: share of self-supervision in distl, in [0, 1]; 0 and 1 are the published ablations.
        alpha: whether the weight of the pseudo labels rises from 2/E to 2 over the E epochs.
        self_supervision_epochs: epochs of a round after which self-supervision ends, except in
            ``self_supervised``, which would have nothing else.
        momentum: of the teacher of distl and its parts.
        start_momentum: of the teacher of the self-supervised start.
        correct: whether distl and its parts have correction passes.

    Raises:
        ValueError: if ``lam`` is out of range.
    """
    shares = {"distl": (lam, lam), "self_supervised": (1.0, 0.5), "self_training": (0.0, 0.0)}
    methods = [
        Method(
            name,
            DISTLLoss(activation, self_supervision=self_supervision, lam=share),
            correction=DISTLCorrectionLoss(
                activation, self_supervision=self_supervision, lam=share_of_correction
            )
            if correct
            else None,
            momentum=momentum,
            pseudo_label_weight=_alpha if alpha else _one,
            self_supervision_epochs=math.inf
            if name == "self_supervised"
            else self_supervision_epochs,
        )
        for name, (share, share_of_correction) in shares.items()
    ]
    start = Method(
        "start",
        DISTLLoss(activation, self_supervision=self_supervision, lam=1.0),
        films="all",
        momentum=start_momentum,
    )
    others = _comparators(activation, self_supervision, momentum)
    return {method.name: method for method in (*methods, *others, start)}


def _comparators(activation: str, self_supervision: DINOLoss, momentum: float) -> list[Method]:
    """What needs no self-supervision: labels alone, and two other ways to use unlabeled films."""
    labels = DISTLCorrectionLoss(activation, self_supervision=self_supervision, lam=0.0)
    return [
        Method("supervised", labels, films="labeled", momentum=momentum),
        Method("supervised_all", labels, films="all", label_key="hidden_label", momentum=momentum),
        Method(
            "fixmatch",
            ConsistencyLoss(activation, kind="fixmatch"),
            correction=labels,
            corrected_each_step=True,
        ),
        Method(
            "mean_teacher",
            ConsistencyLoss(activation, kind="mean_teacher"),
            correction=labels,
            corrected_each_step=True,
            momentum=0.99,
            momentum_end=0.999,
            pseudo_label_weight=_ramp,
        ),
    ]


def method_names(method: str, comparators: object) -> list[str]:
    """Return the methods that a command trains, the one that is delivered first.

    Args:
        method: one of :data:`METHODS`.
        comparators: others, a list of names, or ``"all"``.

    Raises:
        MonaiKDError: if a name is unknown.
    """
    others = METHODS if comparators == "all" else comparators
    if isinstance(others, str):
        others = [name.strip() for name in others.strip("[]() ").split(",") if name.strip()]
    if not isinstance(others, list | tuple):
        raise MonaiKDError(
            "method_names: `comparators` must be a list of methods or 'all', got "
            f"{type(comparators).__name__}. Say \"['supervised','mean_teacher']\"."
        )
    names = list(dict.fromkeys([method, *(str(name).strip("'\"") for name in others)]))
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise MonaiKDError(
            f"method_names: `method` and `comparators` must be of {', '.join(METHODS)}, got "
            f"{unknown[0]}. Correct the name."
        )
    return names


def _alpha(epoch: int, epochs: int) -> float:
    return alpha_at(epoch, epochs=epochs)


def _ramp(epoch: int, epochs: int) -> float:
    """Weight of the consistency: small at first, 10 after two fifths of the epochs."""
    return 10.0 * math.exp(-5.0 * (1.0 - min(1.0, (epoch + 1) / max(1.0, 0.4 * epochs))) ** 2)
