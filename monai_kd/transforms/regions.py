# SPDX-License-Identifier: Apache-2.0
"""Labels and drawn regions of a datalist's item become tensors; unknown and empty stay apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import MapTransform
from torch import Tensor

from monai_kd.data import Region, regions_to_mask
from monai_kd.data.mask_files import read_mask_file
from monai_kd.utils import MonaiKDError

__all__ = ["LabelToTensord", "RegionsToMaskd", "label_to_tensor"]


def label_to_tensor(label: Sequence[float | None]) -> Tensor:
    """Return a label as float32, ``(C,)``; null becomes NaN, which losses and metrics leave out.

    Args:
        label: 1, 0 or None per finding.

    Example:
        >>> label_to_tensor([1, 0, None])
        tensor([1., 0., nan])
    """
    return torch.tensor(
        [float("nan") if value is None else float(value) for value in label], dtype=torch.float32
    )


class LabelToTensord(MapTransform):
    """Turn ``label`` into a float32 tensor, ``(C,)``, NaN where it is unknown.

    Args:
        keys: item that holds the label.
        allow_missing_keys: pass items without a label on as they are.
    """

    def __init__(self, keys: str = "label", *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the label as a tensor."""
        out = dict(data)
        for key in self.key_iterator(out):
            label = out[key]
            is_tensor = isinstance(label, Tensor)
            out[key] = label.to(torch.float32) if is_tensor else label_to_tensor(label)
        return out


class RegionsToMaskd(MapTransform):
    """Replace drawn regions by ``region_mask``, ``region_drawn`` and ``region_annotated``.

    Comes straight after loading, before anything moves a pixel; later spatial transforms take both
    ``image`` and ``region_mask``. ``None`` and ``[]`` differ: nobody drew on the first image; an
    expert looked at the second and found nothing. Only the second counts as annotated. A finding
    was drawn where a region names it, or where it is present (label 1) and a region names none;
    later transforms that move the mask leave that as it is. A path under ``lung_mask`` is loaded
    too, to ``(1, H, W)``.

    ``hidden_regions``, which training must not see, leave the item too. With ``hidden`` they become
    ``hidden_region_mask`` and ``hidden_region_annotated``, for measurements only; the second is
    true for the findings that they hold.

    Args:
        keys: item that holds the regions; absent means None.
        findings: names of the C findings, in the order of ``label``.
        image_key: image that gives the size, ``(1, H, W)``.
        lung_mask_key: path of a lung mask, or nothing.
        hidden: whether ``hidden_regions`` are painted; absent means None, as above.
    """

    def __init__(
        self,
        keys: str = "regions",
        *,
        findings: Sequence[str],
        image_key: str = "image",
        lung_mask_key: str = "lung_mask",
        hidden: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.findings = tuple(findings)
        self.image_key = image_key
        self.lung_mask_key = lung_mask_key
        self.hidden = hidden

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with masks instead of regions.

        Raises:
            MonaiKDError: if a region or the lung mask does not fit the image; the message says
                which item of the datalist, never which file.
        """
        out = dict(data)
        regions, hidden_regions = out.pop(self.keys[0], None), out.pop("hidden_regions", None)
        size = out[self.image_key].shape[-2:]
        try:
            out["region_mask"] = self._painted(regions, size)
            if self.hidden:
                out["hidden_region_mask"] = self._painted(hidden_regions, size)
                out["hidden_region_annotated"] = out["hidden_region_mask"].flatten(1).any(1)
            if isinstance(out.get(self.lung_mask_key), (str, Path)):
                out[self.lung_mask_key] = _lung_mask(Path(out[self.lung_mask_key]), tuple(size))
        except MonaiKDError as error:
            raise MonaiKDError(f"RegionsToMaskd: {out.get('item', 'an item')}: {error}") from None
        named = {region.get("finding") for region in regions or []}
        label = out.get("label")
        known = [1] * len(self.findings) if label is None else list(label)
        pairs = list(zip(self.findings, known, strict=True))
        out["region_drawn"] = torch.tensor(
            [f in named or (None in named and v == 1) for f, v in pairs]
        )
        # a region of no finding may be of any whose label nobody knows
        looked = [None not in named or f in named or v in (0, 1) for f, v in pairs]
        out["region_annotated"] = torch.tensor(looked) & (regions is not None)
        return out

    def _painted(self, regions: Sequence[Region] | None, size: Sequence[int]) -> Tensor:
        return torch.from_numpy(regions_to_mask(regions, self.findings, size)).to(torch.float32)


def _lung_mask(path: Path, size: tuple[int, ...]) -> Tensor:
    mask = read_mask_file(path)
    if mask.shape != size:
        raise MonaiKDError(
            f"`lung_mask` must have the size of the image, {size[0]} rows x {size[1]} columns, got "
            f"{mask.shape[0]} rows x {mask.shape[1]} columns. Draw it on the image as it is stored."
        )
    return torch.from_numpy(mask).to(torch.float32)[None]
