# SPDX-License-Identifier: Apache-2.0
"""A model remembers the pictures it learned from, so that it is not tested on them by mistake.

Remembered are hashes of pixels: they name nobody, and they find a film again whatever its salted
id, file name or datalist is now.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai_kd.data.datalist import Datalist
from monai_kd.data.fingerprint import datalist_fingerprint
from monai_kd.utils import MonaiKDError, read_settings, write_text_atomically

__all__ = ["refuse_foreign_datalist", "refuse_trained_films", "remember_films"]

_NAME = "trained_on.txt"


def remember_films(
    datalist: Datalist,
    folder: str | os.PathLike[str],
    *,
    sections: Iterable[str] = ("labeled", "validation"),
) -> None:
    """Write the pixel hashes of what a model learns from, one a line, sorted.

    Args:
        datalist: what is trained on; items without ``pixel_sha256`` cannot be remembered.
        folder: the run directory; gets ``trained_on.txt``.
        sections: sections that train a model or choose its epoch; missing ones are passed over.
    """
    hashes = {
        item["pixel_sha256"]
        for section in sections
        for item in datalist.sections.get(section, [])
        if item.get("pixel_sha256")
    }
    write_text_atomically(Path(folder) / _NAME, "".join(f"{one}\n" for one in sorted(hashes)))


def refuse_trained_films(
    items: Iterable[Mapping[str, Any]], folder: str | os.PathLike[str], *, section: str
) -> None:
    """Stop an evaluation on films that the model has learned from.

    Args:
        items: films of the evaluation.
        folder: run directory of the training; without ``trained_on.txt`` nothing can be checked.
        section: name of the evaluated section; ``labeled`` and ``validation`` of the training
            itself may be looked at, since they say what they are.

    Raises:
        MonaiKDError: with the number of films that were seen before.
    """
    path = Path(folder) / _NAME
    if section in ("labeled", "validation") or not path.exists():
        return
    seen = set(path.read_text(encoding="utf-8").split())
    films = list(items)
    known = sum(item.get("pixel_sha256") in seen for item in films)
    if known:
        raise MonaiKDError(
            f"refuse_trained_films: the films of `section` {section} must be new to the model, got "
            f"{known} of {len(films)} that it was trained on. The datalist was split anew since "
            "the training: use the one of the training, or train again."
        )


def refuse_foreign_datalist(datalist: Datalist, folder: str | os.PathLike[str]) -> None:
    """Stop an evaluation on other films from replacing the one that a run has at home.

    Args:
        datalist: what is evaluated.
        folder: where the evaluation is to be written; if that is the run directory of a training,
            its ``config.json`` says which datalist it belongs to.

    Raises:
        MonaiKDError: if the folder is that of a training on another datalist.
    """
    home = read_settings(folder).get("sha256")
    if home and home != datalist_fingerprint(datalist):
        raise MonaiKDError(
            "refuse_foreign_datalist: `output_dir` must be a folder of its own when the datalist "
            "is not that of the training, got the run directory of the training. Give that as "
            "`model_dir`, and a new folder as `output_dir`."
        )
