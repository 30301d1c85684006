# SPDX-License-Identifier: Apache-2.0
"""New films for a trained model: a datalist or any folder, and one bad file stops nothing."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from monai_kd.data.archive import scan_archive
from monai_kd.data.datalist import may_draw_phantom, open_datalist
from monai_kd.utils import MonaiKDError, root_cause, write_atomically

__all__ = ["FilmDataset", "film_id", "find_films"]

_log = logging.getLogger(__name__)
_KEPT = ("id", "patient_id", "sex", "age", "view", "site")


def find_films(
    dataset_dir: str | os.PathLike[str],
    *,
    section: str = "test",
    salt: str = "",
    mapping_file: str | os.PathLike[str] = "",
    task: str = "opacity",
) -> list[dict[str, Any]]:
    """Return the films that a model is asked about.

    A folder with a ``datalist.json`` gives the items of one section, and so does a new one named
    ``phantom``, after the phantom archive was drawn into it. Any other folder gives every
    radiograph below it, in the order of their names; such a film's id is a salted hash of its name.

    Args:
        dataset_dir: folder.
        section: section of the datalist, if there is one.
        salt: of the ids; empty takes a new one each time, so nobody can go back from an id to a
            name. With a salt of your own you can: hash the name again.
        mapping_file: CSV that says which id is which file, readable by its owner alone; keep it
            with the films, not with the results. Empty writes none.
        task: of the phantom archive, see :func:`monai_kd.data.draw_phantom_archive`.

    Raises:
        MonaiKDError: if the folder holds no radiograph.
    """
    films = _films(Path(dataset_dir), section, salt, task)
    if mapping_file:
        content = _mapping(films)
        write_atomically(mapping_file, lambda file: file.write(content), mode=0o600)
    return films


def film_id(item: Mapping[str, Any], index: int) -> str:
    """Return an item's id; one without is called by its number.

    Args:
        item: a film.
        index: its position among the films, from 0.
    """
    return str(item["id"]) if item.get("id") else f"film {index}"


def _mapping(films: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "image"])
    writer.writerows([film_id(film, index), film["image"]] for index, film in enumerate(films))
    return text.getvalue().encode()


def _films(folder: Path, section: str, salt: str, task: str) -> list[dict[str, Any]]:
    if (folder / "datalist.json").exists() or may_draw_phantom(folder):
        return open_datalist(folder, task=task).section(section)
    names = scan_archive(folder)
    if not names:
        raise MonaiKDError(
            "find_films: `dataset_dir` must hold radiographs (DICOM, PNG, JPEG, NIfTI), got none. "
            "Check the path."
        )
    key = salt or secrets.token_hex(16)
    return [
        {
            "image": str(folder / name),
            "id": hashlib.sha256(f"{key}{name}".encode()).hexdigest()[:16],
        }
        for name in names
    ]


class FilmDataset(Dataset[dict[str, Any]]):
    """Films for inference; one that cannot be read becomes a black image with its ``problem``.

    Items hold ``image``, the salted ``id`` and what else is known, ``index`` (position in
    ``data``), ``problem``, ``format`` (``"DICOM"``, ``"PNG"``, ..., "" if nobody knows) and, where
    the transform gives one, ``stored_size``; never the path.

    Args:
        data: items with ``image``, a path.
        transform: makes ``image`` ``(1, spatial_size, spatial_size)`` of the path; may add
            ``image_tags``, of which the format is kept, and ``stored_size``, rows and columns,
            ``(2,)``, which is NaN for a film that could not be read.
        spatial_size: side of the black image.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        *,
        transform: Callable[[dict[str, Any]], Mapping[str, Any]],
        spatial_size: int,
    ) -> None:
        self.data = list(data)
        self.transform = transform
        self.spatial_size = spatial_size

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.data[index]
        kept = {key: item[key] for key in _KEPT if key in item}
        kept["id"] = film_id(item, index)
        try:
            prepared = self.transform({"image": item["image"]})
            problem = ""
        except Exception as error:  # MONAI's Compose wraps what a transform raises
            cause = root_cause(error)
            if not isinstance(cause, MonaiKDError):
                raise
            prepared = self._black()
            problem = str(cause).partition(". ")[0] + "."
            _log.warning("Film %d has no prediction. %s", index, problem)
        if "stored_size" in prepared:
            kept["stored_size"] = torch.as_tensor(prepared["stored_size"])
        kept["format"] = str(prepared.get("image_tags", {}).get("format", ""))
        image = torch.as_tensor(prepared["image"])
        return {**kept, "image": image, "index": index, "problem": problem}

    def _black(self) -> dict[str, Any]:
        side = self.spatial_size
        return {"image": torch.zeros(1, side, side), "stored_size": torch.full((2,), torch.nan)}
