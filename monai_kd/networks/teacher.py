# SPDX-License-Identifier: Apache-2.0
"""Teachers: networks that are asked and do not learn.

Moving average as a teacher: Tarvainen and Valpola, "Mean teachers are better role models",
NeurIPS 2017, https://arxiv.org/abs/1703.01780
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from monai_kd.networks.features import WithFeatures
from monai_kd.utils import check_choice

__all__ = ["EMATeacher", "FrozenTeacher"]

Answer: TypeAlias = Tensor | dict[str, Tensor]
_Pairs: TypeAlias = dict[int, tuple[Tensor, Tensor]]
_Value = TypeVar("_Value")


class FrozenTeacher(nn.Module):
    """A trained network that only answers: always in ``eval`` mode, never with a gradient.

    It answers in inference mode; what comes out are plain tensors that a loss may use freely.

    Args:
        network: kept, not copied; its parameters stop requiring gradients.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenTeacher:
        """Stay in ``eval`` mode, whatever the trainer around it calls.

        Args:
            mode: ignored.
        """
        return super().train(False)

    def forward(self, image: Tensor | Mapping[str, Tensor], **kwargs: Any) -> Answer:
        """Return what the network returns, without gradient.

        Args:
            image: ``(B, in_channels, H, W)``, or the views that the network takes.
            kwargs: further arguments of the network.
        """
        with torch.inference_mode():
            answer = self.network(image, **kwargs)
        # Inference tensors cannot be kept for a backward pass; their copies can.
        if isinstance(answer, dict):
            return {name: tensor.clone() for name, tensor in answer.items()}
        plain: Tensor = answer.clone()
        return plain


class EMATeacher(FrozenTeacher):
    """A frozen copy of the student that follows it as an exponential moving average.

    The copy is made here: weights that the student loads later must be loaded into the teacher
    too. Its state dict holds all there is, so resuming needs nothing else.

    Args:
        student: network to copy, as it is or inside DDP, ``torch.compile`` or
            :class:`~monai_kd.networks.WithFeatures`; not kept.
        buffers: what :meth:`update` does with batch statistics: ``"average"`` them like the
            parameters, ``"copy"`` the student's, or ``"keep"`` the teacher's. Integer buffers
            (counters) are copied unless kept.

    Raises:
        ValueError: if ``buffers`` is none of the three.
    """

    def __init__(self, student: nn.Module, *, buffers: str = "average") -> None:
        check_choice("EMATeacher", "buffers", buffers, ("average", "copy", "keep"))
        super().__init__(_plain_copy(_without_launchers(student)))
        self.buffers_mode = buffers

    @torch.no_grad()  # whose answers need no copy before a loss may use them
    def forward(self, image: Tensor | Mapping[str, Tensor], **kwargs: Any) -> Answer:
        """Return what the network returns, without gradient.

        Args:
            image: ``(B, in_channels, H, W)``, or the views that the network takes.
            kwargs: further arguments of the network.
        """
        if any(module.training for module in self.network.modules()):
            self.eval()  # somebody who held a part of the network has called `train` on it
        answer: Answer = self.network(image, **kwargs)
        return answer

    @torch.inference_mode()  # a third of the cost of no_grad for small tensors
    def update(self, student: nn.Module, momentum: float) -> None:
        """Set ``teacher = momentum * teacher + (1 - momentum) * student``.

        Args:
            student: the network that was copied, wrapped or not; read, never written.
            momentum: share of the teacher that stays, in [0, 1]; 1 changes nothing but copied
                buffers, 0 copies the student.

        Raises:
            ValueError: if ``momentum`` is outside [0, 1], or the student is another network.
        """
        if not 0 <= momentum <= 1:
            raise ValueError(
                f"EMATeacher: `momentum` must be in [0, 1], got {momentum}. It is the share of the "
                "teacher that stays (0.999), not the share of the student that comes in (0.001)."
            )
        parameters, buffers = _pairs(_unwrapped(self.network), _unwrapped(student))
        averaged = list(parameters.values())
        copied: list[tuple[Tensor, Tensor]] = []
        if self.buffers_mode != "keep":
            for pair in buffers.values():
                average = self.buffers_mode == "average" and pair[0].is_floating_point()
                (averaged if average else copied).append(pair)
        if averaged:
            olds, news = [old for old, _ in averaged], [new for _, new in averaged]
            torch._foreach_lerp_(olds, news, 1 - momentum)
        if copied:
            torch._foreach_copy_([old for old, _ in copied], [new for _, new in copied])


def _pairs(ours: nn.Module, theirs: nn.Module) -> tuple[_Pairs, _Pairs]:
    """Pair parameters and buffers of two networks of one build; a tied one is paired once.

    Walks the layers anew each time, so that nothing replaced in between is missed, and by itself:
    ``named_parameters`` of both would take a tenth of the update's time.
    """
    parameters: _Pairs = {}
    buffers: _Pairs = {}
    layers = [(ours, theirs)]
    for mine, other in layers:  # grows as it goes
        _pair_tensors(mine._parameters, other._parameters, parameters)
        _pair_tensors(mine._buffers, other._buffers, buffers)
        if mine._modules or other._modules:
            children = zip(
                mine._modules.values(), _aligned(mine._modules, other._modules), strict=True
            )
            layers += [(a, b) for a, b in children if a is not None and b is not None]
    return parameters, buffers


def _pair_tensors(
    ours: Mapping[str, Tensor | None], theirs: Mapping[str, Tensor | None], found: _Pairs
) -> None:
    if ours or theirs:
        for old, new in zip(ours.values(), _aligned(ours, theirs), strict=True):
            if old is not None and new is not None:
                found[id(old)] = (old, new)


def _aligned(ours: Mapping[str, _Value], theirs: Mapping[str, _Value]) -> Iterable[_Value]:
    """Return the values of ``theirs`` in the order of ``ours``."""
    if list(ours) == list(theirs):
        return theirs.values()
    if ours.keys() != theirs.keys():
        raise _other_network(ours.keys() ^ theirs.keys())
    return [theirs[name] for name in ours]


def _other_network(names: set[str]) -> ValueError:
    return ValueError(
        "EMATeacher: `student` must be the network that was copied, got one that differs in "
        f"`{min(names)}`. Make the teacher from this student."
    )


def _without_launchers(network: nn.Module) -> nn.Module:
    """Take DDP, DataParallel and ``torch.compile`` off."""
    while True:
        inner: Any = getattr(network, "_orig_mod", None)
        if inner is None and isinstance(
            network, nn.parallel.DistributedDataParallel | nn.DataParallel
        ):
            inner = network.module
        if inner is None:
            return network
        network = inner


def _unwrapped(network: nn.Module) -> nn.Module:
    """Return the network itself, whose parameters have their bare names."""
    network = _without_launchers(network)
    while isinstance(network, WithFeatures):
        network = _without_launchers(network.network)
    return network


def _plain_copy(network: nn.Module) -> nn.Module:
    """Copy a network without gradients, and though it may hold results of its last forward pass.

    Hooked layers (``torch.nn.utils.weight_norm``) keep a computed weight as an attribute, which
    ``deepcopy`` refuses; it is computed anew in the next forward pass.
    """
    computed = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    twin = copy.deepcopy(network, computed)
    for parameter in twin.parameters():
        parameter.grad = None
    return twin
