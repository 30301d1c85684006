# SPDX-License-Identifier: Apache-2.0
"""What a file of weights holds, under its bare names; checkpoints of others are unwrapped."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from monai_kd.utils import MonaiKDError

__all__ = ["WeightsFile", "read_weights"]

_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_CONTAINERS = ("state_dict", "model", "model_state_dict", "network", "state_dict_ema")
_PREFIXES = ("module.", "_orig_mod.", "network.")  # DDP, torch.compile, WithFeatures
_PAIRS = ("teacher", "student")  # checkpoints of DINO and its kin hold both; the first is taken
_BACKBONES = ("backbone.", "network.")  # beside heads of another task


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds.

    Args:
        tensors: by bare name.
        left_out: names of those that stand beside the file's backbone, as in the file.
        source: which of two networks was taken, in words; empty when there is one.
    """

    tensors: dict[str, Tensor]
    left_out: tuple[str, ...] = ()
    source: str = ""


def read_weights(path: str | os.PathLike[str]) -> WeightsFile:
    """Read the tensors of a file, without running any code of it.

    Args:
        path: see :func:`~monai_kd.networks.load_pretrained`.

    Raises:
        MonaiKDError: if the file cannot be read, or holds no tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise MonaiKDError("load_pretrained: `pretrained_path` must be a file, there is none.")
    if file.suffix not in (".safetensors", *_TORCH_SUFFIXES):
        raise MonaiKDError(
            f"load_pretrained: `pretrained_path` must end in {', '.join(_TORCH_SUFFIXES)} or "
            f".safetensors, got {file.suffix or 'no ending'}. Give a weights file."
        )
    try:
        # DINO's checkpoints hold their command line; a Namespace is a dictionary and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content: Any = (
                load_file(file)
                if file.suffix == ".safetensors"
                else torch.load(file, map_location="cpu", weights_only=True)
            )
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise MonaiKDError(
            f"load_pretrained: `pretrained_path` must hold tensors only, this {file.suffix} file "
            "cannot be read as such. Save the bare state dict of the network."
        ) from error
    return _bare(content)


def _bare(content: Any) -> WeightsFile:
    """Unwrap checkpoints and strip the prefixes that wrappers add."""
    source = ""
    while isinstance(content, Mapping):
        inner = [key for key in (*_CONTAINERS, *_PAIRS) if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        if inner == list(_PAIRS):
            source = f"those of the {inner[0]}, the file holds a {inner[1]}, too"
        content = content[inner[0]]
    tensors = (
        {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise MonaiKDError(
            "load_pretrained: `pretrained_path` must hold a state dict, this file has no tensors "
            f"at its top or under {', '.join((*_CONTAINERS, *_PAIRS))}. Save the bare state dict."
        )
    left_out: tuple[str, ...] = ()
    while prefix := _prefix_of(tensors):
        left_out += tuple(name for name in tensors if not name.startswith(prefix))
        tensors = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
    return WeightsFile(tensors, left_out, source)


def _prefix_of(tensors: dict[str, Tensor]) -> str:
    """Return a prefix of all names, or that of the backbone beside heads, or nothing."""
    for prefix in (*_PREFIXES, *_BACKBONES):
        if all(name.startswith(prefix) for name in tensors):
            return prefix
    return next((p for p in _BACKBONES if any(name.startswith(p) for name in tensors)), "")
