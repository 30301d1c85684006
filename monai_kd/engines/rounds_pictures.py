# SPDX-License-Identifier: Apache-2.0
"""Where the models of several rounds look on the films about which they have changed their mind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_kd.explain import attention_maps, choose_method, explain, overlay
from monai_kd.metrics import Predictions, match_predictions
from monai_kd.utils import write_atomically

__all__ = ["ChangedFilm", "changed_films", "draw_changes", "remove_changes"]

_WIDTH = 1000  # pixels of a picture of several maps
_LARGEST, _SMALLEST = 320, 120  # pixels of one map
_HEADS = 12


@dataclass(frozen=True)
class ChangedFilm:
    """A film of which two models say something different.

    Args:
        key: its salted id, or its number.
        column: the finding of which they say it.
        label: whether the film has the finding, 0 or 1.
        change: how much more probable the later model holds the finding.
    """

    key: str
    column: int
    label: int
    change: float

    @property
    def is_better(self) -> bool:
        """Whether the later model is nearer to the truth."""
        return (self.change > 0) == (self.label == 1)


def changed_films(
    before: Predictions, after: Predictions, *, films: int, activation: str
) -> list[ChangedFilm]:
    """Return the films with the largest changes: the better half, then the worse half.

    A film counts once, with the finding that has changed most. Where there are fewer of the one
    kind, there are more of the other; films that nobody has labeled are left out.

    Args:
        before: predictions of the initial model.
        after: those of the delivered one.
        films: how many, at most.
        activation: with ``"softmax"`` the finding is the true one.
    """
    one, other = match_predictions(before, after)
    change = other.prob - one.prob
    asked = one.label == 1 if activation == "softmax" else ~np.isnan(one.label)
    size = np.where(asked, np.abs(change), -1.0)
    column = size.argmax(axis=1)
    rows = np.arange(len(size))
    largest = [
        ChangedFilm(one.key[row], int(at), int(one.label[row, at]), float(change[row, at]))
        for row, at in zip(rows, column, strict=True)
        if size[row, at] > 0
    ]
    largest.sort(key=lambda film: (-abs(film.change), film.key))
    better = [film for film in largest if film.is_better]
    worse = [film for film in largest if not film.is_better]
    half = max(films - films // 2, films - len(worse))
    chosen = better[:half]
    return [*chosen, *worse[: films - len(chosen)]]


def draw_changes(
    network: nn.Module,
    films: Sequence[ChangedFilm],
    images: Tensor,
    *,
    load: Mapping[int, Callable[[], None]],
    delivered: int,
    folder: Path,
    mean: float,
    sd: float,
) -> list[dict[str, Any]]:
    """Draw each film, and beside it the map of each round's model.

    ``change_01.png`` is the film, then one map for each round; ``change_01_heads.png``, of a
    transformer, the film and what the heads of the delivered model's last layer look at. The names
    say nothing of the film.

    Args:
        network: see :func:`monai_kd.explain.explain`; is left with the weights of a round.
        films: from :func:`changed_films`.
        images: theirs, normalized, ``(N, 1, H, W)``, on the network's device.
        load: by round, in order, what gives the network that round's weights.
        delivered: the round whose heads are drawn.
        folder: gets the pictures.
        mean: subtracted when the images were normalized.
        sd: divided by when the images were normalized.

    Returns:
        Of each film ``picture`` (name without its ending), ``heads`` (likewise, or None),
        ``method``, ``column``, ``label``, ``better``, ``columns`` (rounds in the order of the
        maps), and ``mapped`` (by round whether anything speaks for the finding).
    """
    if not films:
        return []
    method = choose_method(network)
    finding = images.new_tensor([film.column for film in films]).long()
    maps: dict[int, Tensor] = {}
    heads: Tensor | None = None
    for number, load_weights in load.items():
        load_weights()
        maps[number] = explain(network, images, finding=finding, method=method).cpu()
        if number == delivered and method == "relevance":
            heads = attention_maps(network, images)[:, :_HEADS].cpu()
    plain = (images * sd + mean).clamp(0, 1).float().cpu()
    told = []
    for row, film in enumerate(films):
        name = f"change_{row + 1:02d}"
        _save(_row(plain[row], [each[row] for each in maps.values()]), folder / f"{name}.png")
        if heads is not None:
            _save(_row(plain[row], list(heads[row][:, None])), folder / f"{name}_heads.png")
        told.append(
            {
                "picture": name,
                "heads": f"{name}_heads" if heads is not None else None,
                "method": method,
                "column": film.column,
                "label": film.label,
                "better": film.is_better,
                "columns": list(maps),
                "mapped": [bool(each[row].any()) for each in maps.values()],
            }
        )
    return told


def remove_changes(folder: Path) -> None:
    """Remove the pictures of an earlier evaluation.

    Args:
        folder: as :func:`draw_changes` has got it; other files in it stay.
    """
    for picture in folder.glob("change_*.png"):
        picture.unlink()


def _row(film: Tensor, maps: Sequence[Tensor]) -> NDArray[np.uint8]:
    """The film, and the film under each map; more than fit into a row begin another one."""
    count = len(maps) + 1
    columns = count if count <= 7 else -(-count // 2)
    width = min(_LARGEST, max(_SMALLEST, _WIDTH // columns))
    size = (round(width * film.shape[-2] / film.shape[-1]), width)
    planes = [
        F.interpolate(part[None].float(), size=size, mode="bilinear", antialias=True)[0, 0]
        for part in (film, film.new_zeros(film.shape), *maps)
    ]
    gray = planes[0].clamp(0, 1)
    tiles = [overlay(gray, heat.clamp(0, 1)) for heat in planes[1:]]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [_joined(tiles[at : at + columns], axis=1) for at in range(0, len(tiles), columns)]
    return _joined(rows, axis=0)


def _joined(tiles: Sequence[NDArray[np.uint8]], *, axis: int) -> NDArray[np.uint8]:
    """Tiles with a white line between them."""
    shape = list(tiles[0].shape)
    shape[axis] = 4
    line = np.full(shape, 255, np.uint8)
    parts = [part for tile in tiles for part in (line, tile)][1:]
    return np.concatenate(parts, axis=axis)


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    write_atomically(path, lambda file: Image.fromarray(picture).save(file, format="PNG"))
