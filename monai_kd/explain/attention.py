# SPDX-License-Identifier: Apache-2.0
"""Where a vision transformer looks: attention rollout, gradient-weighted relevance, single heads.

Sources: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020,
https://arxiv.org/abs/2005.00928 (rollout, which knows no finding), and Chefer, Gur and Wolf,
"Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
Transformers", ICCV 2021, https://arxiv.org/abs/2103.15679 (relevance, equations 5 and 6). Both are
products of matrices of which only the row of the class token is wanted: it is carried through the
layers from the last to the first, so a layer costs T x T, not T x T x T.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from monai_kd.explain.maps import columns_of, in_eval_mode, to_image
from monai_kd.explain.monai_vit import ask_monai_vit, is_monai_vit, monai_vit_grid

__all__ = [
    "AttentionClassifier",
    "attention_maps",
    "attention_relevance",
    "attention_rollout",
    "has_attention",
]


@runtime_checkable
class AttentionClassifier(Protocol):
    """A transformer that shows its attention; the class token comes first."""

    def forward_attention(self, image: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Return logits, ``(B, C)``, and what they were made of, for ``image``, ``(B, 1, H, W)``.

        Attention of each layer, after softmax, ``(B, heads, T, T)``, in the graph of the logits;
        the last layer may have the row of the class token alone, ``(B, heads, 1, T)``.
        """


def has_attention(network: nn.Module) -> bool:
    """Return whether a network can be asked for its attention.

    Args:
        network: an :class:`AttentionClassifier`, or MONAI's ``ViT`` with ``classification=True``.
    """
    return isinstance(network, AttentionClassifier) or is_monai_vit(network)


def attention_rollout(network: nn.Module, image: Tensor, *, finding: int | Tensor = 0) -> Tensor:
    r"""Return where the class token gets its content from, whatever the finding.

    .. math:: \prod_l \tfrac{1}{2}\big(\operatorname{mean}_\text{heads} A_l + I\big)

    Args:
        network: see :func:`has_attention`; asked in ``eval`` mode and left as it was.
        image: ``(B, channels, H, W)``, on the network's device; need not be square.
        finding: only checked; every finding has the same map.

    Returns:
        Maps, ``(B, 1, H, W)`` or ``(B, K, H, W)`` for a ``finding`` of that shape, float32 in
        [0, 1], each with a peak of 1.

    Raises:
        TypeError: if the network shows no attention.
        ValueError: if ``finding`` is not a column of the logits, or the patches are no grid.
    """
    with torch.no_grad():
        logits, attention = _ask("attention_rollout", network, image)
        asked = columns_of(finding, logits, who="attention_rollout").shape[1]
        layers = [layer.detach().float().mean(1) / 2 for layer in attention]
        row = _carried(layers, stays=0.5)[:, None].expand(-1, asked, -1)
    return to_image(_on_grid(row, network, image), image)


def attention_relevance(network: nn.Module, image: Tensor, *, finding: int | Tensor) -> Tensor:
    r"""Return where the network sees a finding: attention, as far as it speaks for the finding.

    .. math:: R \leftarrow R + \operatorname{mean}_\text{heads}
        \operatorname{relu}\Big(\frac{\partial\,\mathrm{logit}}{\partial A_l} \odot A_l\Big) R

    from the first layer to the last, beginning with :math:`R = I`; the map is the row of the class
    token. Works under ``torch.no_grad()`` and with frozen weights.

    Args:
        network: see :func:`has_attention`; asked in ``eval`` mode and left as it was.
        image: ``(B, channels, H, W)``, on the network's device; need not be square.
        finding: see :func:`monai_kd.explain.grad_cam`.

    Returns:
        Maps, ``(B, 1, H, W)`` or ``(B, K, H, W)``, float32 in [0, 1], each with a peak of 1, or
        all 0 where nothing speaks for the finding.

    Raises:
        TypeError: if the network shows no attention.
        ValueError: if ``finding`` is not a column of the logits, not one per image, or the patches
            are no grid.
    """
    rows = []
    with torch.inference_mode(False), torch.enable_grad():
        leaf = image.detach().clone().requires_grad_()  # a graph, even when all weights are frozen
        logits, attention = _ask("attention_relevance", network, leaf)
        for one in columns_of(finding, logits, who="attention_relevance").T:
            score = logits.gather(1, one[:, None]).sum()
            slopes = torch.autograd.grad(score, list(attention), retain_graph=True)
            layers = [
                (slope * layer.detach()).relu().float().mean(1)
                for slope, layer in zip(slopes, attention, strict=True)
            ]
            rows.append(_carried(layers, stays=1.0))
    return to_image(_on_grid(torch.stack(rows, dim=1), network, image), image)


def attention_maps(network: nn.Module, image: Tensor) -> Tensor:
    """Return what each head of the last layer attends to from the class token.

    Args:
        network: see :func:`has_attention`; asked in ``eval`` mode and left as it was.
        image: ``(B, channels, H, W)``, on the network's device; need not be square.

    Returns:
        Maps, ``(B, heads, H, W)``, float32 in [0, 1], each with a peak of 1.

    Raises:
        TypeError: if the network shows no attention.
        ValueError: if the patches are no grid.
    """
    with torch.no_grad():
        _, attention = _ask("attention_maps", network, image)
    return to_image(_on_grid(attention[-1][:, :, 0, 1:], network, image), image)


def _ask(who: str, network: nn.Module, image: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
    if not has_attention(network):
        raise TypeError(
            f"{who}: `network` must have `forward_attention` or be MONAI's ViT with "
            f"`classification=True`, got {type(network).__name__}. Use grad_cam for a network of "
            "convolutions."
        )
    with in_eval_mode(network):
        if isinstance(network, AttentionClassifier):
            return network.forward_attention(image)
        return ask_monai_vit(network, image)


def _carried(layers: Sequence[Tensor], *, stays: float) -> Tensor:
    """Row of the class token in the product of ``stays * I + layer``, without itself, ``(B, P)``.

    The last layer may have that row alone.
    """
    row = torch.zeros_like(layers[0][:, :1])  # (B, 1, T)
    row[..., 0] = 1
    for layer in reversed(layers):
        row = stays * row + row[..., : layer.shape[1]] @ layer
    return row[:, 0, 1:]


def _on_grid(patches: Tensor, network: nn.Module, image: Tensor) -> Tensor:
    """Values of the patches, ``(B, K, P)``, as rows and columns, ``(B, K, h, w)``."""
    rows, columns = monai_vit_grid(network, image) or _grid_like(image, patches.shape[-1])
    return patches.reshape(*patches.shape[:-1], rows, columns)


def _grid_like(image: Tensor, patches: int) -> tuple[int, int]:
    """The grid of so many square patches that has the proportions of the image."""
    height, width = image.shape[-2:]
    ideal = (patches * height / width) ** 0.5
    near = [rows for rows in range(max(1, int(ideal)), int(ideal) + 2) if patches % rows == 0]
    if not near:
        raise ValueError(
            f"explain: the patches must be a grid like the image, {height} x {width}, got "
            f"{patches} beside the class token. Give back attention without register tokens."
        )
    rows = min(near, key=lambda count: abs(count - ideal))
    return rows, patches // rows
