# SPDX-License-Identifier: Apache-2.0
"""Load radiographs as dictionary items: gray that means the same in every file, and no names."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_kd.data import RADIOGRAPH_POLICIES, read_radiograph
from monai_kd.utils import check_choice

__all__ = ["LoadRadiographd"]


class LoadRadiographd(MapTransform):
    """Replace the path of a radiograph by its pixels.

    Under ``key`` comes a plain tensor ``(1, H, W)``, float32 in [0, 1], air dark, bone bright, rows
    as drawn (pixel ``(row, column)`` is ``image[0, row, column]``). ``<key>_tags`` and
    ``<key>_spacing`` come with it; nothing else of the file does, and not its name. Both can be
    batched whatever the files are.

    Args:
        keys: items that hold paths of DICOM, PNG, JPEG or NIfTI files.
        policy: how values become gray, see :func:`monai_kd.data.read_radiograph`.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        ValueError: if an item is not a path.
        RadiographError: when called, if a file is not a readable radiograph.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        policy: str = "auto",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_choice("LoadRadiographd", "policy", policy, RADIOGRAPH_POLICIES)
        self.policy = policy

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with pixels, tags (dict) and spacing ((2,) mm, NaN unknown)."""
        out = dict(data)
        for key in self.key_iterator(out):
            if not isinstance(out[key], (str, os.PathLike)):
                raise ValueError(
                    f"LoadRadiographd: `{key}` must be a path, got {type(out[key]).__name__}. Load "
                    "each image once, as the first transform."
                )
            radiograph = read_radiograph(out[key], policy=self.policy)
            out[key] = torch.from_numpy(radiograph.pixels)[None]
            out[f"{key}_tags"] = radiograph.tags
            out[f"{key}_spacing"] = torch.tensor(radiograph.spacing or (math.nan, math.nan))
        return out
