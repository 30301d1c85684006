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
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_kd.networks import sha256_of_weights
from monai_kd.utils import check_choice, write_text_atomically
from monai_kd.utils.distributed import is_main_process

__all__ = ["check_region_leakage", "shuffle_regions_within_class"]

_log = logging.getLogger(__name__)
_CHUNK = 32  # films in memory at a time

Item = Mapping[str, Any]
Transform = Callable[[dict[Any, Any]], dict[Any, Any]]


def check_region_leakage(
    teacher: nn.Module,
    items: Sequence[Item],
    *,
    activation: str,
    make_region_image: Transform,
    normalize: Transform,
    folder: str | os.PathLike[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Score a teacher with each film's own regions, and with those of other films of its class.

    The result goes to ``leakage.json`` and, in words, to the log. When the file is there already
    for these weights, this number of films and these settings, it is returned as it is.

    Args:
        teacher: answers a batch of region images with logits, ``(B, C)``.
        items: prepared validation items with ``image``, ``region_mask`` and ``label``; asked for a
            few at a time, and more than once.
        activation: ``"softmax"``: one finding per film, films with unknown labels are left out;
            ``"sigmoid"``: each finding on its own, unknown labels are left out.
        make_region_image: the transform that makes ``region_image`` of ``image`` and
            ``region_mask``.
        normalize: the transform that comes last before the network.
        folder: gets ``leakage.json``.
        seed: of the shuffle.

    Returns:
        ``accuracy`` and ``shuffled_region_accuracy``, both over all labels that are known;
        ``most_frequent``, the accuracy of always giving the most frequent answer; and ``n``, the
        films whose region was exchanged. What cannot be told is None. Empty where this is not the
        main process.

    Raises:
        ValueError: if ``activation`` is neither of the two.
    """
    check_choice("check_region_leakage", "activation", activation, ("softmax", "sigmoid"))
    if not is_main_process():
        return {}
    path = Path(folder) / "leakage.json"
    checked = {
        "teacher_sha256": sha256_of_weights(teacher),
        "activation": activation,
        "films": len(items),
        "seed": seed,
    }
    earlier = _read(path)
    if checked.items() <= earlier.items():
        return earlier

    def see(taker: int, giver: int) -> Tensor:
        film = dict(items[taker])
        if giver != taker:
            film["region_mask"] = items[giver]["region_mask"]
        image: Tensor = normalize(make_region_image(film))["region_image"]
        return image

    result = _score(teacher, items, see, activation=activation, seed=seed) | checked
    write_text_atomically(path, json.dumps(result, indent=2) + "\n")
    _tell(result)
    return result


def shuffle_regions_within_class(
    labels: Sequence[Tensor], *, has_regions: Sequence[bool], seed: int
) -> list[int]:
    """Exchange the regions among films that have regions and the same label.

    Args:
        labels: one ``(C,)`` for each film; unknown findings (NaN) are the same only as unknown.
        has_regions: whether anything is marked in the film.
        seed: of the order in which regions are handed on; where two films or more share a label,
            no film keeps its own.

    Returns:
        For each film the position of the film whose regions it gets, its own if none exchanges.
    """
    classes: dict[tuple[float | None, ...], list[int]] = {}
    for position, (label, marked) in enumerate(zip(labels, has_regions, strict=True)):
        if marked:
            known = [None if math.isnan(value) else value for value in label.tolist()]  # NaN != NaN
            classes.setdefault(tuple(known), []).append(position)
    givers = list(range(len(labels)))
    random = np.random.default_rng(seed)
    for members in classes.values():
        order = random.permutation(members).tolist()
        for taker, giver in zip(order, np.roll(order, 1).tolist(), strict=True):
            givers[taker] = giver
    return givers


def _score(
    teacher: nn.Module,
    items: Sequence[Item],
    see: Callable[[int, int], Tensor],
    *,
    activation: str,
    seed: int,
) -> dict[str, Any]:
    """Ask the teacher twice about each film, a few films at a time."""
    numbers, labels, marked = [], [], []
    for number in range(len(items)):
        item = items[number]
        if activation == "softmax" and bool(item["label"].isnan().any()):
            continue
        numbers.append(number)
        labels.append(item["label"])
        marked.append(bool(item["region_mask"].any()))
    givers = shuffle_regions_within_class(labels, has_regions=marked, seed=seed)
    exchanged = sum(giver != taker for taker, giver in enumerate(givers))

    own = (see(number, number) for number in numbers)
    other = (see(numbers[taker], numbers[giver]) for taker, giver in enumerate(givers))
    label = torch.stack(labels) if labels else torch.zeros(0, 1)
    return {
        "accuracy": _accuracy(_answers(teacher, own), label, activation),
        "shuffled_region_accuracy": (
            _accuracy(_answers(teacher, other), label, activation) if exchanged else None
        ),
        "most_frequent": _most_frequent(label, activation),
        "n": exchanged,
    }


@torch.no_grad()
def _answers(teacher: nn.Module, images: Iterator[Tensor]) -> Tensor:
    """Return the logits ``(films, C)``; never more than a chunk of the images is held."""
    training = teacher.training
    teacher.eval()
    device = next(teacher.parameters()).device
    answers, chunk = [torch.zeros(0, 1)], []
    for image in images:
        chunk.append(image)
        if len(chunk) == _CHUNK:
            answers.append(teacher(torch.stack(chunk).to(device)).float().cpu())
            chunk = []
    if chunk:
        answers.append(teacher(torch.stack(chunk).to(device)).float().cpu())
    teacher.train(training)
    return torch.cat(answers[1:] or answers)


def _accuracy(logits: Tensor, label: Tensor, activation: str) -> float | None:
    if activation == "softmax":
        return _mean((logits.argmax(1) == label.argmax(1)).float())
    return _mean(((logits > 0) == (label > 0.5))[~label.isnan()].float())


def _most_frequent(label: Tensor, activation: str) -> float | None:
    """Return the accuracy of the best answer that looks at no film."""
    if activation == "softmax":
        return float(label.mean(dim=0).max()) if len(label) else None
    shares = label.nanmean(dim=0)
    return _mean(torch.maximum(shares, 1 - shares)[~shares.isnan()])


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _tell(result: Mapping[str, Any]) -> None:
    if not result["n"]:
        _log.warning(
            "Teacher: whether it reads the lesion or the marking could not be checked, since no "
            "two of the %d validation films have regions and the same known labels.",
            result["films"],
        )
        return
    _log.info(
        "Teacher: accuracy %.3f on region images, %.3f when %d films show the regions of another "
        "film of their class. The closer the two, the more it reads the marking, not the lesion.",
        result["accuracy"],
        result["shuffled_region_accuracy"],
        result["n"],
    )


def _read(path: Path) -> dict[str, Any]:
    """Return what an earlier check wrote; nothing where that cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
