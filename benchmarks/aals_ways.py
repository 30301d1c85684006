# SPDX-License-Identifier: Apache-2.0
"""A training step of aals in two ways from the same weights: by the project's parts, plainly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from aals_reference import PlainNetwork, aals_loss, average
from torch import Tensor, nn

from monai_kd.engines import MapsPrepareBatch
from monai_kd.losses import AALSLoss
from monai_kd.networks import EMATeacher, WithMaps, build_aals_network

__all__ = ["QUICK", "WAYS", "Batch", "Ours", "Plain", "Settings", "pairs", "random_batch", "step"]

MOMENTUM = 0.999
#: What a step of ours can do the plain way.
WAYS = ("channels last", "asking about few films", "fused Adam")
Batch = dict[str, Tensor]
Timed = Callable[[str, Callable[[], Any]], Any]


@dataclass(frozen=True)
class Settings:
    """What is timed: the defaults of the bundle."""

    backbone: str = "resnet50"
    size: int = 512
    channels: int = 256
    findings: int = 2
    batch_size: int = 8
    rounds: int = 3
    device: str = "cpu"


QUICK = Settings("resnet10-w16", 64, 16, 2, batch_size=4, rounds=2)


class Ours:
    """The step by the project's parts; ``without`` names one of :data:`WAYS` to leave out."""

    def __init__(self, settings: Settings, *, without: str = "") -> None:
        torch.manual_seed(0)
        network = build_aals_network(
            settings.backbone, num_findings=settings.findings, channels=settings.channels
        )
        if without != "channels last":
            network = network.to(memory_format=torch.channels_last)
        self.student = WithMaps(network.to(settings.device)).train()
        self.teacher = EMATeacher(self.student)
        _disturb(self.teacher.network)
        self.objective = AALSLoss()
        teacher = _AllFilms(self.teacher) if without == "asking about few films" else self.teacher
        self.prepare_batch = MapsPrepareBatch(teacher, loss=self.objective)
        fused = without != "fused Adam"
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=4e-5, fused=fused)
        self.device = settings.device

    def ask(self, batch: Batch) -> tuple[Tensor, Batch]:
        """Return what the student sees, and the targets with the teacher's maps."""
        return self.prepare_batch(batch, self.device)

    def loss(self, student: Batch, targets: Batch) -> Tensor:
        """Return the loss."""
        loss: Tensor = self.objective(student_map_logits=student["map_logits"], **targets)
        return loss

    def average(self) -> None:
        """Move the teacher."""
        self.teacher.update(self.student, MOMENTUM)


class Plain:
    """The step written plainly, from the weights of ``ours``."""

    def __init__(self, settings: Settings, ours: Ours) -> None:
        self.student = _plain(settings, ours.student.network).train()
        self.teacher = _plain(settings, ours.teacher.network.network).eval()
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=4e-5)
        self.device = settings.device

    def ask(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        """Return what the student sees, and the targets with the teacher's maps."""
        there = {name: tensor.to(self.device) for name, tensor in batch.items()}
        teacher = self.teacher(there["teacher_image"])  # of which only the values are used
        return there["image"], {"batch": there, "teacher": teacher}

    def loss(self, student: Tensor, targets: dict[str, Any]) -> Tensor:
        """Return the loss."""
        return aals_loss(student, targets["teacher"].detach(), targets["batch"])

    def average(self) -> None:
        """Move the teacher."""
        average(self.teacher, self.student, MOMENTUM)


class _AllFilms(nn.Module):
    """A teacher that is shown as many films as the batch has, whatever it is asked about."""

    def __init__(self, teacher: EMATeacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, image: Tensor) -> Batch:
        """Return the answer about the films that were asked for."""
        films = len(image)  # a quarter of the batch
        answer: Batch = self.teacher(image.repeat(4, 1, 1, 1))
        return {name: tensor[:films] for name, tensor in answer.items()}


def untimed(part: str, call: Callable[[], Any]) -> Any:
    """Call."""
    return call()


def step(
    way: Ours | Plain,
    batch: Batch,
    timed: Timed = untimed,
    autocast: Callable[[], Any] = nullcontext,
) -> Tensor:
    """Take one training step; ``timed(part, call)`` returns what the call returns."""
    way.optimizer.zero_grad()
    with autocast():
        image, targets = timed("teacher", lambda: way.ask(batch))
        student = timed("student", lambda: way.student(image))
        loss: Tensor = timed("loss", lambda: way.loss(student, targets))
    timed("backward", loss.backward)
    timed("Adam", way.optimizer.step)
    timed("average", way.average)
    return loss.detach()


def random_batch(settings: Settings, seed: int) -> Batch:
    """Return noise: a quarter drawn, a quarter positive without regions, half negative."""
    generator = torch.Generator().manual_seed(seed)
    films, findings, size = settings.batch_size, settings.findings, settings.size
    quarter = films // 4
    image = torch.rand(films, 1, size, size, generator=generator)
    mask = torch.zeros(films, findings, size, size)
    for film in range(quarter):
        top, left = (size * torch.rand(2, generator=generator) / 2).int().tolist()
        mask[film, 0, top : top + size // 4, left : left + size // 3] = 1
    label = torch.zeros(films, findings)
    label[: 2 * quarter, 0] = 1
    looked = torch.zeros(films, findings, dtype=torch.bool)
    looked[:quarter] = True
    noised = image + 0.1 * torch.rand(image.shape, generator=generator)
    return {
        "image": noised,
        "teacher_image": image,
        "label": label,
        "region_mask": mask,
        "region_annotated": looked,
        "region_drawn": mask.flatten(2).any(2),
    }


def pairs(ours: nn.Module, plain: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Pair the parameters of both by name; the plain one's coarser outputs have no partner."""
    theirs = dict(plain.named_parameters())
    return [(tensor, theirs[name]) for name, tensor in ours.named_parameters()]


def _plain(settings: Settings, ours: nn.Module) -> PlainNetwork:
    """Return the plain network with the weights of ours."""
    network = PlainNetwork(
        settings.backbone, findings=settings.findings, channels=settings.channels
    )
    found = network.load_state_dict(copy.deepcopy(ours.state_dict()), strict=False)
    if found.unexpected_keys or any("layer_blocks" not in name for name in found.missing_keys):
        raise ValueError(f"The two networks differ: {found}.")
    return network.to(settings.device)


@torch.no_grad()
def _disturb(network: nn.Module) -> None:
    """Let a teacher differ from the student, and some of its cells be above the center."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
        if name.endswith("head.2.bias"):
            parameter.fill_(-0.4)
