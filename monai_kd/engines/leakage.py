# SPDX-License-Identifier: Apache-2.0
"""Does the teacher read what an expert marked, or only how the marking looks?

A teacher that sees a region image may tell the classes apart by the region's size, place or mere
presence. Shown the same films with the regions of *other* films of the same class, such a teacher
stays as good as it was; one that reads the lesion gets worse. The check is ours; the reason for it
is that the published teachers recognize healthy films by their region image.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_kd.utils import write_text_atomically
from monai_kd.utils.distributed import is_main_process

__all__ = ["check_region_leakage", "shuffle_regions_within_class"]

_log = logging.getLogger(__name__)

Item = Mapping[str, Any]


def check_region_leakage(
    teacher: nn.Module,
    items: Sequence[Item],
    *,
    make_region_image: Callable[[dict[Any, Any]], dict[Any, Any]],
    normalize: Callable[[dict[Any, Any]], dict[Any, Any]],
    folder: str | os.PathLike[str],
    seed: int = 0,
) -> dict[str, float]:
    """Score a teacher with each film's own regions, and with those of other films of its class.

    The result goes to ``leakage.json`` and, in words, to the log.

    Args:
        teacher: answers a batch of region images with logits, ``(B, C)``.
        items: prepared validation items with ``image``, ``region_mask`` and ``label``.
        make_region_image: the transform that makes ``region_image`` of ``image`` and
            ``region_mask``.
        normalize: the transform that comes last before the network.
        folder: gets ``leakage.json``.
        seed: of the shuffle.

    Returns:
        ``accuracy`` and ``shuffled_region_accuracy``, both over all labels that are known;
        ``most_frequent``, the accuracy of always giving the most frequent answer; and ``n``, the
        films whose region was exchanged.
    """
    shuffled, exchanged = shuffle_regions_within_class(items, seed=seed)
    scores = {}
    for name, films in (("accuracy", items), ("shuffled_region_accuracy", shuffled)):
        batch = [normalize(make_region_image(dict(film)))["region_image"] for film in films]
        scores[name] = _accuracy(teacher, batch, [film["label"] for film in films])
    labels = torch.stack([film["label"] for film in items])
    result = {**scores, "most_frequent": _most_frequent(labels), "n": exchanged}
    if not is_main_process():
        return result
    write_text_atomically(Path(folder) / "leakage.json", json.dumps(result, indent=2) + "\n")
    _log.info(
        "Teacher: accuracy %.3f on region images, %.3f when %d films show the regions of another "
        "film of their class. The closer the two, the more it reads the marking, not the lesion.",
        result["accuracy"],
        result["shuffled_region_accuracy"],
        exchanged,
    )
    return result


def shuffle_regions_within_class(items: Sequence[Item], *, seed: int) -> tuple[list[Item], int]:
    """Exchange the region masks among films that have regions and the same label.

    Args:
        items: with ``region_mask`` ``(C, H, W)`` and ``label`` ``(C,)``.
        seed: of the order in which masks are handed on; no film keeps its own.

    Returns:
        Copies of the items, and how many got another film's mask.
    """
    classes: dict[tuple[float, ...], list[int]] = {}
    for position, item in enumerate(items):
        if bool(item["region_mask"].any()):
            classes.setdefault(tuple(item["label"].tolist()), []).append(position)
    shuffled = [dict(item) for item in items]
    exchanged = 0
    random = np.random.default_rng(seed)
    for members in classes.values():
        if len(members) < 2:
            continue
        order = random.permutation(members)
        for taker, giver in zip(order, np.roll(order, 1), strict=True):
            shuffled[taker]["region_mask"] = items[giver]["region_mask"]
        exchanged += len(members)
    return list(shuffled), exchanged


@torch.no_grad()
def _accuracy(teacher: nn.Module, images: list[Tensor], labels: list[Tensor]) -> float:
    training = teacher.training
    teacher.eval()
    device = next(teacher.parameters()).device
    answers = [
        teacher(torch.stack(images[start : start + 32]).to(device)).cpu()
        for start in range(0, len(images), 32)
    ]
    teacher.train(training)
    logits, label = torch.cat(answers), torch.stack(labels)
    if _are_exclusive(label):
        return float((logits.argmax(1) == label.argmax(1)).float().mean())
    known = ~label.isnan()
    return float(((logits > 0) == (label > 0.5))[known].float().mean())


def _most_frequent(label: Tensor) -> float:
    """Return the accuracy of the best answer that looks at no film."""
    shares = label.nanmean(dim=0)
    if _are_exclusive(label):
        return float(shares.max())
    return float(torch.maximum(shares, 1 - shares).nanmean())


def _are_exclusive(label: Tensor) -> bool:
    return label.shape[1] > 1 and bool((label.sum(dim=1) == 1).all())
