# SPDX-License-Identifier: Apache-2.0
"""The attention of MONAI's ViT, in the graph, and its logits without the tuple around them.

MONAI's own ``save_attn`` keeps a detached copy, which has no gradient, and ``monai.visualize``
fails on the tuple that the network returns. Here hooks listen for the length of one forward pass:
after the softmax, at the dropout of the weights, and before the Tanh that MONAI may put on the
logits (it would flatten the slope of a sure answer).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["ask_monai_vit", "is_monai_vit", "monai_vit_grid"]


def is_monai_vit(network: nn.Module) -> bool:
    """Return whether a network is MONAI's ViT with a class token and a head.

    Args:
        network: any network.
    """
    from monai.networks.nets import ViT

    return isinstance(network, ViT) and bool(network.classification)


def ask_monai_vit(network: Any, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return logits, ``(B, C)``, and the attention of each block, ``(B, heads, T, T)``.

    Args:
        network: MONAI's ViT, in ``eval`` mode; without hooks of ours afterwards.
        image: ``(B, channels, H, W)``.
    """
    attention: list[Tensor] = []
    logits: list[Tensor] = []
    head = network.classification_head
    linear = head[0] if isinstance(head, nn.Sequential) else head
    hooks = [
        block.attn.drop_weights.register_forward_hook(lambda *call: attention.append(call[-1]))
        for block in network.blocks
    ]
    hooks.append(linear.register_forward_hook(lambda *call: logits.append(call[-1])))
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return logits[0], attention


def monai_vit_grid(network: Any, image: Tensor) -> tuple[int, int] | None:
    """Return rows and columns of the patches, or None where the network does not say.

    Args:
        network: any network.
        image: ``(B, channels, H, W)``.
    """
    embedding = getattr(getattr(network, "patch_embedding", None), "patch_embeddings", None)
    if not isinstance(embedding, nn.Conv2d):
        return None
    height, width = image.shape[-2:]
    return height // int(embedding.stride[0]), width // int(embedding.stride[1])
