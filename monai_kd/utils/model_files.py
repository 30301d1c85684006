# SPDX-License-Identifier: Apache-2.0
"""The files of a model that is delivered: two formats and their checksums."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from monai_kd.utils.files import write_atomically, write_sha256sums

if TYPE_CHECKING:
    from torch import nn

__all__ = ["finish_model_files", "save_model"]


def save_model(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a network's flat state dict, on the CPU, whole or not at all.

    Args:
        network: its wrappers for distributed training are taken off.
        path: file to write.
    """
    import torch

    plain: nn.Module = getattr(network, "module", network)
    state = {name: tensor.detach().cpu() for name, tensor in plain.state_dict().items()}
    write_atomically(path, lambda file: torch.save(state, file))


def finish_model_files(folder: str | os.PathLike[str]) -> None:
    """Write ``model.safetensors`` and ``SHA256SUMS`` beside a finished ``model.pt``.

    Args:
        folder: the run directory.
    """
    import torch
    from safetensors.torch import save

    run = Path(folder)
    state = torch.load(run / "model.pt", map_location="cpu", weights_only=True)
    content = save({name: tensor.contiguous() for name, tensor in state.items()})
    write_atomically(run / "model.safetensors", lambda file: file.write(content))
    write_sha256sums(run, ("model.pt", "model.safetensors"))
