# SPDX-License-Identifier: Apache-2.0
"""Load the weights of a file into a backbone, and say what was not loaded."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monai_kd.networks.base import Backbone
from monai_kd.networks.weights_file import read_weights
from monai_kd.utils import MonaiKDError

__all__ = ["GREY_MEAN", "GREY_SD", "LoadReport", "load_pretrained", "sha256_of_weights"]

logger = logging.getLogger(__name__)

GREY_MEAN = 0.449  #: mean of ImageNet's three channel means, for images in [0, 1]
GREY_SD = 0.226  #: mean of ImageNet's three standard deviations


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a weights file; all names are the network's own.

    Counters (``num_batches_tracked``) are taken over and not reported.

    Args:
        loaded: tensors that were taken over, folded ones included.
        missing: tensors of the network that keep their fresh values.
        unexpected: tensors of the file that have no place in the network.
        reshaped: tensors that were folded to another number of input channels.
        head: what is new about the last layer, in words; empty when it was loaded.
        resized: tensors that were interpolated to another size.
        left_out: tensors of the file that stand beside its backbone; names as in the file.
        source: which of two networks of the file was taken, in words; empty when there is one.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    head: str = ""
    resized: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    source: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        total = len(self.loaded) + len(self.missing)
        parts = [f"loaded {len(self.loaded)} of {total} tensors"]
        if self.source:
            parts.append(self.source)
        if self.head:
            parts.append(self.head)
        if self.reshaped:
            parts.append(f"folded to other input channels: {', '.join(self.reshaped)}")
        if self.resized:
            parts.append(f"interpolated to another size: {', '.join(self.resized)}")
        fresh_head = self.head.partition("*")[0]
        others = [n for n in self.missing if not (fresh_head and n.startswith(fresh_head))]
        if others:
            parts.append(f"{len(others)} not in the file, first {others[0]}")
        if self.unexpected:
            parts.append(
                f"{len(self.unexpected)} of the file have no place, first {self.unexpected[0]}"
            )
        if self.left_out:
            parts.append(
                f"{len(self.left_out)} beside the file's backbone left out, first "
                f"{self.left_out[0]}"
            )
        return "; ".join(parts)


def load_pretrained(network: Backbone, path: str | os.PathLike[str]) -> LoadReport:
    """Take over the tensors of a weights file that fit, by name, and log in one line what did not.

    A file for another number of image channels is folded: the first convolution is summed over
    its input channels (and shared out, when the network has more than one). With one channel the
    network then answers as the original would to a grey picture whose three channels are
    normalized alike, ``(image - 0.449) / 0.226`` for images in [0, 1]: give such images.
    A last layer for another number of findings, or of another form, is not loaded; it starts
    fresh. A ViT's positions on another grid are interpolated. Of a file with a student and a
    teacher the teacher is taken; heads beside a file's ``backbone.`` are left out.

    Args:
        network: changed in place.
        path: local ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` (read without running any code) or
            ``.safetensors`` file; a bare state dict, or one under ``state_dict``, ``model`` or
            ``teacher``.

    Raises:
        MonaiKDError: if the file cannot be read, is of another network, or nothing in it fits.
    """
    file = read_weights(path)
    found = {network.rename_pretrained(name): tensor for name, tensor in file.tensors.items()}
    ours = network.state_dict()
    reshaped = _fold_stem(network.stem_name, found, ours)
    head = _drop_other_head(network.head_name, found, ours)
    resized = _resize(network, found, ours)
    _refuse_other_shapes(found, ours)
    loaded = tuple(name for name in ours if name in found and not _is_counter(name))
    if not loaded:
        raise MonaiKDError(
            f"load_pretrained: none of the {len(found)} tensors of `pretrained_path` fits a "
            f"{type(network).__name__}. Give weights of the same network."
        )
    _refuse_parts(network, loaded, ours)
    network.load_state_dict({name: found[name] for name in ours if name in found}, strict=False)
    report = LoadReport(
        loaded=loaded,
        missing=tuple(name for name in ours if name not in found and not _is_counter(name)),
        unexpected=tuple(
            name
            for name in found
            if name not in ours and not name.startswith(f"{network.head_name}.")
        ),
        reshaped=reshaped,
        head=head,
        resized=resized,
        left_out=file.left_out,
        source=file.source,
    )
    logger.info("%s", report)
    layers = {name.partition(".")[0] for name in ours} - {network.head_name.partition(".")[0]}
    strange = [name for name in report.unexpected if name.partition(".")[0] in layers]
    if strange:
        logger.warning(
            "%d tensors of `pretrained_path` belong to layers that a %s does not have, first %s: "
            "it will not answer as the network that they were trained in.",
            len(strange), type(network).__name__, strange[0],
        )  # fmt: skip
    return report


def _refuse_parts(network: Backbone, loaded: tuple[str, ...], ours: dict[str, Tensor]) -> None:
    """Refuse a file that knows less than half of the network below its head."""
    body = [
        name for name in ours if not name.startswith(network.head_name) and not _is_counter(name)
    ]
    there = sum(name in loaded for name in body)
    if 2 * there < len(body):
        raise MonaiKDError(
            f"load_pretrained: `pretrained_path` must hold the weights of a "
            f"{type(network).__name__}, got {there} of its {len(body)} tensors. Give weights of "
            "the same network."
        )


def _fold_stem(name: str, found: dict[str, Tensor], ours: dict[str, Tensor]) -> tuple[str, ...]:
    """Sum the first convolution over its input channels, share the sum out over ours."""
    if name not in found or found[name].ndim != 4:
        return ()
    channels = ours[name].shape[1]
    if found[name].shape[1] == channels:
        return ()
    folded = found[name].sum(dim=1, keepdim=True) / channels
    found[name] = folded.expand(-1, channels, -1, -1)
    return (name,)


def _drop_other_head(head: str, found: dict[str, Tensor], ours: dict[str, Tensor]) -> str:
    """Leave a head out that answers another number of questions, or has other layers; say so."""
    wanted, given = _weights_of(head, ours), _weights_of(head, found)
    classes = ours[wanted[-1]].shape[0]
    before = found[given[-1]].shape[0] if given else 0
    if wanted == given and before == classes:
        return ""
    for name in [name for name in found if name.startswith(f"{head}.")]:
        del found[name]
    if not given:
        return f"{head}.* is new ({classes} classes)"
    if wanted != given:
        return f"{head}.* is new (layers differ, {classes} classes)"
    return f"{head}.* is new ({before} -> {classes} classes)"


def _weights_of(head: str, tensors: dict[str, Tensor]) -> list[str]:
    """Return the names of the weights of a head, in order."""
    return [
        name
        for name, tensor in tensors.items()
        if name.startswith(f"{head}.") and name.endswith("weight") and tensor.ndim == 2
    ]


def _resize(
    network: Backbone, found: dict[str, Tensor], ours: dict[str, Tensor]
) -> tuple[str, ...]:
    """Let the network fit tensors of another size; return which it could."""
    resized = []
    for name, tensor in ours.items():
        if name in found and found[name].shape != tensor.shape:
            before = found[name]
            found[name] = network.fit_pretrained(name, before)
            if found[name].shape != before.shape:
                resized.append(name)
    return tuple(resized)


def _refuse_other_shapes(found: dict[str, Tensor], ours: dict[str, Tensor]) -> None:
    other = [name for name in ours if name in found and found[name].shape != ours[name].shape]
    if other:
        raise MonaiKDError(
            f"load_pretrained: {len(other)} tensors of `pretrained_path` have another shape, first "
            f"`{other[0]}`, {tuple(found[other[0]].shape)} instead of "
            f"{tuple(ours[other[0]].shape)}. Give weights of the same network."
        )


def _is_counter(name: str) -> bool:
    """Whether older files leave it out: it counts batches and no result depends on it."""
    return name.endswith("num_batches_tracked")


def sha256_of_weights(network: nn.Module) -> str:
    """Return one hash of all names, types and values of a network's state dict.

    Args:
        network: on any device.
    """
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
