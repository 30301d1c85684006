# SPDX-License-Identifier: Apache-2.0
"""A frozen teacher's features on disk: it is asked once per image, not once per epoch."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_kd.networks.teacher import EMATeacher, FrozenTeacher
from monai_kd.networks.weights import sha256_of_weights
from monai_kd.utils import write_text_atomically

__all__ = ["TeacherFeatureCache"]

Digests: TypeAlias = NDArray[np.uint64]


class TeacherFeatureCache(nn.Module):
    """Answer with a teacher's features, from the disk where the same image was seen before.

    What was computed first is what is served ever after, bit for bit. (A convolution may differ in
    its last bit between batches of another size; asking the teacher again could, too.) An item
    whose pixels differ from those stored under its index is computed and stored anew, so a random
    augmentation makes the cache useless, never wrong. Another teacher or another image size gets
    its own subfolder, named by the hash of the weights; old ones may be deleted at any time.

    Space: 4 bytes per number, 98 KiB per image for ResNet-18 at 224 px, 392 KiB for ResNet-50.

    Args:
        teacher: answers with a feature map, or with a dictionary that has ``features``; must not
            change while the cache is in use.
        folder: where the subfolders go; made when missing. Processes of one machine may share it.
        size: number of images; indices go from 0 to ``size - 1``.

    Raises:
        ValueError: if ``size`` is below 1, or the teacher is one that moves.
    """

    def __init__(
        self, teacher: FrozenTeacher, folder: str | os.PathLike[str], *, size: int
    ) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"TeacherFeatureCache: `size` must be at least 1, got {size}.")
        if isinstance(teacher, EMATeacher):
            raise ValueError(
                "TeacherFeatureCache: `teacher` must be a FrozenTeacher, got an EMATeacher. A "
                "teacher that moves has to be asked each time."
            )
        self.teacher = teacher
        self.folder = Path(folder)
        self.size = size
        self.asked = 0  # images that went through the teacher
        self._weights = sha256_of_weights(teacher)
        self._store: _Store | None = None
        self._image_shape: tuple[int, ...] = ()

    def forward(self, image: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Return ``features``, float32, ``(B, D, h, w)``, on the device of ``image``.

        Args:
            image: ``(B, in_channels, H, W)``, what the teacher would see.
            index: which images of the data set these are, integers, ``(B,)``.

        Raises:
            ValueError: if an index is out of range, or the image size changes.
        """
        self._check(image, index)
        rows, digests = index.cpu().numpy(), _digests_of(image)
        store = self._store or _Store.reopen(self._subfolder(), self.size)
        absent = np.ones(len(rows), bool) if store is None else store.digests[rows] != digests
        if absent.any() or store is None:
            features = self._ask(image[torch.from_numpy(absent).to(image.device)])
            store = store or _Store.make(self._subfolder(), self.size, features.shape[1:])
            store.write(rows[absent], features, digests[absent])
        self._store = store
        return {"features": torch.from_numpy(store.features[rows]).to(image.device)}

    def _check(self, image: Tensor, index: Tensor) -> None:
        if not 0 <= int(index.min()) <= int(index.max()) < self.size:
            raise ValueError(
                f"TeacherFeatureCache: `index` must be in [0, {self.size - 1}], got "
                f"{int(index.min())} to {int(index.max())}. Give `size` the length of the data set."
            )
        shape = tuple(image.shape[1:])
        if self._image_shape not in ((), shape):
            raise ValueError(
                f"TeacherFeatureCache: `image` must have the shape of the first batch, "
                f"{self._image_shape}, got {shape}. Resize all images alike."
            )
        self._image_shape = shape

    def _subfolder(self) -> Path:
        text = json.dumps([self._weights, self._image_shape, self.size])
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:16]

    def _ask(self, image: Tensor) -> NDArray[np.float32]:
        answer = self.teacher(image)
        features = answer["features"] if isinstance(answer, dict) else answer
        self.asked += len(image)
        array: NDArray[np.float32] = features.float().cpu().numpy()
        return array


class _Store:
    """A memory-mapped file: for each image what it was (a hash; 0: not seen), then its features.

    One file, so that hash and features are lost together or not at all.
    """

    def __init__(self, folder: Path, size: int, shape: Sequence[int]) -> None:
        file, total = folder / "features.bin", size * (8 + 4 * math.prod(shape))
        if file.is_file() and file.stat().st_size not in (0, total):
            file.unlink()  # broken off: nothing in it can be trusted
        with file.open("ab") as new:
            new.truncate(total)  # zeros; changes nothing where the file is whole
        self.digests: Digests = np.memmap(file, np.uint64, "r+", shape=(size,))
        self.features: NDArray[np.float32] = np.memmap(
            file, np.float32, "r+", offset=8 * size, shape=(size, *shape)
        )

    @classmethod
    def reopen(cls, folder: Path, size: int) -> _Store | None:
        """Open what an earlier run left, None when it left nothing."""
        header = folder / "header.json"
        if not header.is_file():
            return None
        return cls(folder, size, json.loads(header.read_text())["features_shape"])

    @classmethod
    def make(cls, folder: Path, size: int, shape: Sequence[int]) -> _Store:
        """Start an empty file; another process may do the same at the same time."""
        folder.mkdir(parents=True, exist_ok=True)
        store = cls(folder, size, shape)
        text = json.dumps({"features_shape": list(shape), "size": size}, indent=1)
        write_text_atomically(folder / "header.json", text)
        return store

    def write(
        self, rows: NDArray[np.int64], features: NDArray[np.float32], digests: Digests
    ) -> None:
        """Keep features; what they were made of is said only when they are on the disk."""
        self.features[rows] = features
        self.features.flush()  # type: ignore[attr-defined]  # a memory map
        self.digests[rows] = digests


def _digests_of(image: Tensor) -> Digests:
    """Return a 64-bit hash of the pixels of each image, never 0."""
    pixels = np.ascontiguousarray(image.detach().float().cpu().numpy())
    hashes = [hashlib.blake2b(one.tobytes(), digest_size=8).digest() for one in pixels]
    return np.maximum(np.frombuffer(b"".join(hashes), np.uint64), 1)
