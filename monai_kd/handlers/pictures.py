# SPDX-License-Identifier: Apache-2.0
"""Films with heat maps, large enough to be read, as PNG that holds pixels and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from monai_kd.explain import overlay
from monai_kd.utils import write_atomically
from monai_kd.utils.distributed import is_main_process

__all__ = ["beside", "large_overlay", "remove_pictures", "save_png"]


def large_overlay(film: Tensor, cam: Tensor, *, region_mask: Tensor | None = None) -> Any:
    """Return :func:`monai_kd.explain.overlay`, at least 320 pixels wide, so that it can be read.

    Args:
        film: ``(1, H, W)`` in [0, 1].
        cam: heat map, same shape, in [0, 1].
        region_mask: 0 or 1, same shape.

    Returns:
        RGB picture, uint8, ``(H', W', 3)``.
    """
    scale = max(1.0, 320 / film.shape[-1])
    film, cam = (
        F.interpolate(part[None].float().cpu(), scale_factor=scale, mode="bilinear")[0, 0]
        for part in (film, cam)
    )
    if region_mask is not None:
        region_mask = F.interpolate(region_mask[None].float().cpu(), scale_factor=scale)[0, 0]
    return overlay(film.clamp(0, 1), cam.clamp(0, 1), region_mask=region_mask)


def beside(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return two pictures of one size side by side, with a white line between them.

    Args:
        left: ``(H, W, 3)``, uint8.
        right: same shape.
    """
    line = np.full((len(left), max(2, left.shape[1] // 64), 3), 255, np.uint8)
    return np.concatenate([left, line, right], axis=1)


def save_png(picture: np.ndarray[Any, Any], path: Path) -> None:
    """Write an RGB picture as PNG, whole or not at all.

    Args:
        picture: ``(H, W, 3)``, uint8.
        path: file to write.
    """
    from PIL import Image

    write_atomically(path, lambda file: Image.fromarray(picture).save(file, format="PNG"))


def remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier evaluation, on the main process.

    Args:
        folder: subfolder of a run directory. Where there is no run, nothing is removed: the
            pictures may be anybody's.
    """
    run = any((folder.parent / name).is_file() for name in ("config.json", "evaluation.json"))
    if run and is_main_process():
        for picture in folder.glob("*.png"):
            picture.unlink()
