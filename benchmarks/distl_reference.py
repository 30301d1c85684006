# SPDX-License-Identifier: Apache-2.0
"""DISTL written plainly, layer by layer and loop by loop; what the project's form is compared to.

Attention that makes the whole matrix, every token through the last block, drop path by masking,
full logits of all prototypes, one log-softmax for each pair of views, loops over tensors for
clipping and the moving average. Nothing of the project is used, so that this is a second opinion.

Sources: Park et al., "Self-evolving vision transformer for chest X-ray diagnosis through knowledge
distillation", Nat Commun 13:3848, 2022; Caron et al., "Emerging properties in self-supervised
vision transformers", ICCV 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PlainNetwork", "PlainViT", "average", "clip", "distl_loss"]


class Block(nn.Module):
    """Attention and an MLP, each beside a residual path that is dropped by multiplying with 0."""

    def __init__(self, dim: int, heads: int, drop: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, drop
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens, ``(B, T, D)``."""
        x = x + self._masked(self._attention(self.norm1(x)))
        return x + self._masked(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))

    def _attention(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        qkv = self.attn["qkv"](x).reshape(b, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weight = ((q @ k.transpose(-2, -1)) * (d // self.heads) ** -0.5).softmax(-1)
        return self.attn["proj"]((weight @ v).transpose(1, 2).reshape(b, t, d))

    def _masked(self, x: Tensor) -> Tensor:
        if not self.training or self.drop == 0:
            return x
        keep = 1 - self.drop
        mask = torch.rand(len(x), 1, 1, dtype=x.dtype, device=x.device).add_(keep).floor_()
        return x.div(keep) * mask


class PlainViT(nn.Module):
    """A vision transformer that answers with the CLS token and the class head's logits.

    The parameters have DINO's names; ``head`` is D, 256, 256, C with ReLU.
    """

    def __init__(
        self, dim: int, depth: int, heads: int, patch: int, *, findings: int, drop_path: float
    ) -> None:
        super().__init__()
        self.patch = patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (224 // patch) ** 2, dim))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, dim, patch, patch)})
        drops = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(dim, heads, drop) for drop in drops)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        layers = [nn.Linear(dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
        self.head = nn.Sequential(*layers, nn.Linear(256, findings))

    def forward(self, image: Tensor) -> Tensor:
        """Return the CLS token after the last norm, ``(B, D)``."""
        x = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        height, width = (side // self.patch for side in image.shape[-2:])
        x = x + self._positions(height, width)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]

    def _positions(self, height: int, width: int) -> Tensor:
        side = 224 // self.patch
        if (height, width) == (side, side):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


class PlainNetwork(nn.Module):
    """The transformer with both heads, called with a dict of views as the project's network is."""

    def __init__(
        self, network: PlainViT, *, dim: int, prototypes: int, hidden: int, bottleneck: int
    ) -> None:
        super().__init__()
        self.network = network
        first, last = nn.Linear(dim, hidden), nn.Linear(hidden, bottleneck)
        mlp = nn.Sequential(first, nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last)
        gain = nn.Parameter(torch.ones(prototypes, 1), requires_grad=False)
        layer = {"weight_g": gain, "weight_v": nn.Parameter(torch.randn(prototypes, bottleneck))}
        self.projector = nn.ModuleDict({"mlp": mlp, "last_layer": nn.ParameterDict(layer)})

    def forward(self, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits of both global views, projections of all and the prototypes."""
        embedding = self.network(torch.cat([views["original"], views["noised"]]))
        original, noised = self.network.head(embedding).chunk(2)
        if "local" in views:
            local = self.network(views["local"].transpose(0, 1).flatten(0, 1))
            embedding = torch.cat([embedding, local])
        layer = self.projector["last_layer"]
        return {
            "logits_original": original,
            "logits_noised": noised,
            "projection": F.normalize(self.projector["mlp"](embedding), dim=-1),
            "prototypes": torch._weight_norm(layer["weight_v"], layer["weight_g"], 0),
        }


def distl_loss(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], center: Tensor, lam: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Return half DINO's loss plus half the soft cross-entropy, and the center moved afterwards."""
    student_logits = student["projection"] @ student["prototypes"].T / 0.1
    teacher_logits = teacher["projection"] @ teacher["prototypes"].T
    batch = len(student["logits_noised"])
    targets = ((teacher_logits - center) / 0.04).softmax(-1).detach().split(batch)
    pairs = [
        (-target * view.log_softmax(-1)).sum(-1).mean()
        for i, target in enumerate(targets)
        for v, view in enumerate(student_logits.split(batch))
        if v != i
    ]
    soft = teacher["logits_original"].sigmoid().detach()
    self_training = F.binary_cross_entropy_with_logits(student["logits_noised"], soft)
    center = 0.9 * center + 0.1 * teacher_logits.detach().mean(0, keepdim=True)
    return lam * sum(pairs) / len(pairs) + (1 - lam) * self_training, center


def clip(parameters: Iterable[Tensor], max_norm: float = 3.0) -> None:
    """Shorten the gradient of each tensor by itself, asking the host for each norm."""
    for parameter in parameters:
        if parameter.grad is not None:
            factor = max_norm / (parameter.grad.norm(2).item() + 1e-6)
            if factor < 1:
                parameter.grad.mul_(factor)


@torch.no_grad()
def average(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher towards the student, tensor by tensor."""
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.mul_(momentum).add_((1 - momentum) * new.detach())
