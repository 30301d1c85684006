# SPDX-License-Identifier: Apache-2.0
"""The films of aals_fracatlas: limb radiographs with or without a fracture, few of them drawn.

``few``: 72 of the 551 training films with a fracture keep their boxes; those of the others are
hidden from training, which knows of these films only that a fracture is somewhere. ``all``: nothing
is hidden, the upper bound. ``labels``: no boxes at all, for a classifier.

Validation and test are those of the release, all drawn, and the same for all; so no seed chooses
films. The release says nothing of patients: a film stands for one.
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from monai_kd.data import (
    Datalist,
    check_sections,
    refuse_leaks,
    save_datalist,
    stored_pixels_sha256,
)
from monai_kd.utils import write_text_atomically

__all__ = ["FRACATLAS", "SHOWN", "make_datalist"]

FRACATLAS = Path(__file__).parent.parent.parent / "shared" / "data" / "fracture_fracatlas"
FINDING = "fracture"
SHOWN = ("few", "all", "labels")
SECTIONS = {"train": "labeled", "val": "validation", "test": "test"}


def make_datalist(shown: str, folder: Path, *, source: Path = FRACATLAS, hashes: Path) -> Datalist:
    """Write ``datalist.json`` into a folder; the films stay where they are.

    Args:
        shown: whose boxes training may see, one of :data:`SHOWN`.
        folder: gets the datalist; not the folder of the films.
        source: folder of the films, with their ``datalist.csv``.
        hashes: JSON file in which the hashes of pixels are kept for the next time.

    Returns:
        The datalist as written, free of leaks.

    Raises:
        ValueError: if ``shown`` is another word.
    """
    if shown not in SHOWN:
        raise ValueError(
            f"make_datalist: `shown` must be one of {', '.join(SHOWN)}, got {shown!r}."
        )
    known = json.loads(hashes.read_text()) if hashes.exists() else {}
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS.values()}
    with (source / "datalist.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            sections[SECTIONS[row["split"]]].append(_item(row, shown, source, known))
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(hashes, json.dumps(known))
    datalist = Datalist([FINDING], exclusive=False, sections=sections, root=folder)
    save_datalist(datalist, folder / "datalist.json")
    refuse_leaks(datalist, hash_pixels=False)
    check_sections(datalist.sections, datalist.findings)
    return datalist


def _item(row: dict[str, str], shown: str, source: Path, hashes: dict[str, str]) -> dict[str, Any]:
    image = source / row["image"]
    if row["image"] not in hashes:
        hashes[row["image"]] = stored_pixels_sha256(image)
    item = {
        "image": str(image),
        "label": [int(row["label"])],
        "regions": None,
        "id": hashlib.sha256(row["image"].encode()).hexdigest()[:20],
        "pixel_sha256": hashes[row["image"]],
    }
    boxes = [{"box": box, "finding": FINDING} for box in json.loads(row["boxes_xyxy"] or "[]")]
    if not boxes:
        return item
    if (
        row["split"] != "train"
        or shown == "all"
        or (shown == "few" and row["box_supervised"] == "1")
    ):
        return item | {"regions": boxes}
    return item | {"hidden_regions": boxes}
