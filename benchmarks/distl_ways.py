# SPDX-License-Identifier: Apache-2.0
"""A DISTL training step in two ways from the same weights: by the project's parts, and plainly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from distl_reference import PlainNetwork, PlainViT, average, clip, distl_loss
from torch import Tensor, nn

from monai_kd.handlers.clip_gradients import clip_each_tensor
from monai_kd.losses import DINOLoss, DISTLLoss
from monai_kd.networks import DINOHead, DISTLNetwork, EMATeacher, build_backbone

__all__ = ["QUICK", "SHAPES", "Ours", "Plain", "Settings", "pairs", "random_views", "step"]

# dim, depth, heads, patch
SHAPES = {
    "vit_small_patch8": (384, 12, 6, 8),
    "vit_small_patch16": (384, 12, 6, 16),
    "vit_tiny_patch16": (192, 12, 3, 16),
    "vit_mini_patch8": (96, 4, 3, 8),
}
MOMENTUM = 0.9995
Views = dict[str, Tensor]
Timed = Callable[[str, Callable[[], Any]], Any]


@dataclass(frozen=True)
class Settings:
    """What is timed: the published sizes, but for the batch."""

    backbone: str = "vit_small_patch8"
    size: int = 256
    local_size: int = 128
    local_views: int = 8
    prototypes: int = 65536
    hidden: int = 2048
    bottleneck: int = 256
    batch_size: int = 1
    rounds: int = 5
    drop_path: float = 0.1
    device: str = "cpu"


QUICK = Settings("vit_tiny_patch16", 64, 32, 8, 512, 256, 64, batch_size=2, rounds=2)


class Ours:
    """The step by the project's parts."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(0)
        vit = build_backbone(
            settings.backbone, num_findings=1, head="mlp", drop_path=settings.drop_path
        )
        head = DINOHead(
            SHAPES[settings.backbone][0],
            prototypes=settings.prototypes,
            hidden=settings.hidden,
            bottleneck=settings.bottleneck,
        )
        self.student: nn.Module = DISTLNetwork(vit, head).to(settings.device).train()
        self.teacher = EMATeacher(self.student)
        _disturb(self.teacher)
        dino = DINOLoss(settings.prototypes).to(settings.device)
        self.objective = DISTLLoss("sigmoid", self_supervision=dino, lam=0.5).train()
        self.optimizer = torch.optim.AdamW(_groups(self.student), lr=5e-5, fused=True)

    def ask(self, views: Views) -> Views:
        """Return the teacher's answers."""
        answer: Views = self.teacher({name: views[name] for name in ("original", "noised")})
        return answer

    def loss(self, student: Views, teacher: Views) -> Tensor:
        """Return the loss; the center moves."""
        answers = {f"student_{name}": answer for name, answer in student.items()}
        answers |= {f"teacher_{name}": answer for name, answer in teacher.items()}
        loss: Tensor = self.objective(**answers)
        return loss

    def clip(self) -> None:
        """Shorten gradients."""
        clip_each_tensor(self.student.parameters(), 3.0)

    def average(self) -> None:
        """Move the teacher."""
        self.teacher.update(self.student, MOMENTUM)


class Plain:
    """The step as published, from the weights of ``ours``."""

    def __init__(self, settings: Settings, ours: Ours) -> None:
        self.student = _plain(settings, ours.student).train()
        self.teacher = _plain(settings, ours.teacher.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(_groups(self.student), lr=5e-5)
        self.center = torch.zeros(1, settings.prototypes, device=settings.device)

    def ask(self, views: Views) -> Views:
        """Return the teacher's answers."""
        with torch.no_grad():
            answer: Views = self.teacher({name: views[name] for name in ("original", "noised")})
        return answer

    def loss(self, student: Views, teacher: Views) -> Tensor:
        """Return the loss; the center moves."""
        loss, self.center = distl_loss(student, teacher, self.center)
        return loss

    def clip(self) -> None:
        """Shorten gradients."""
        clip(self.student.parameters())

    def average(self) -> None:
        """Move the teacher."""
        average(self.teacher, self.student, MOMENTUM)


def untimed(part: str, call: Callable[[], Any]) -> Any:
    """Call."""
    return call()


def step(
    way: Ours | Plain,
    views: Views,
    timed: Timed = untimed,
    autocast: Callable[[], Any] = nullcontext,
) -> Tensor:
    """Take one training step; ``timed(part, call)`` returns what the call returns."""
    way.optimizer.zero_grad()
    with autocast():
        teacher = timed("teacher", lambda: way.ask(views))
        student = timed("student", lambda: way.student(views))
        loss: Tensor = timed("last layer and loss", lambda: way.loss(student, teacher))
    timed("backward", loss.backward)
    timed("clip", way.clip)
    timed("AdamW", way.optimizer.step)
    timed("average", way.average)
    return loss.detach()


def random_views(settings: Settings, seed: int) -> Views:
    """Return views of noise."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(settings.device)

    batch, side, local = settings.batch_size, settings.size, settings.local_size
    views = {name: noise(batch, 1, side, side) for name in ("original", "noised")}
    if settings.local_views:
        views["local"] = noise(batch, settings.local_views, 1, local, local)
    return views


def pairs(ours: nn.Module, plain: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Pair the parameters of both: by name, those of the class head by their order."""
    mine, theirs = _named(ours), _named(plain)
    if mine.keys() != theirs.keys():
        raise ValueError(f"Only one way has {sorted(mine.keys() ^ theirs.keys())}.")
    return [(mine[name], theirs[name]) for name in mine]


def _named(network: nn.Module) -> dict[str, Tensor]:
    found = dict(network.named_parameters())
    head = [name for name in found if name.startswith("network.head.")]
    return found | {f"class head {i}": found.pop(name) for i, name in enumerate(head)}


def _plain(settings: Settings, ours: nn.Module) -> PlainNetwork:
    """Return the plain network with the weights of ours."""
    dim, depth, heads, patch = SHAPES[settings.backbone]
    network = PlainNetwork(
        PlainViT(dim, depth, heads, patch, findings=1, drop_path=settings.drop_path),
        dim=dim,
        prototypes=settings.prototypes,
        hidden=settings.hidden,
        bottleneck=settings.bottleneck,
    ).to(settings.device)
    with torch.no_grad():
        for theirs, mine in pairs(ours, network):
            mine.copy_(theirs)
    return network


def _groups(network: nn.Module) -> list[dict[str, Any]]:
    """Return AdamW's groups: no weight decay for biases and norms."""
    learns = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learns if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in learns if p.ndim <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def _disturb(network: nn.Module) -> None:
    """Add noise, so that the teacher is not the student."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and not name.endswith("weight_g"):
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
