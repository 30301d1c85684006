# SPDX-License-Identifier: Apache-2.0
"""What the phantom archive says about its films: labels.csv, regions.json, datalist.json."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_kd.data.datalist import Datalist
from monai_kd.data.phantom.film import Film
from monai_kd.data.phantom.plan import TASKS, plan_sections

__all__ = ["phantom_datalist", "phantom_labels_csv", "phantom_regions_json"]


def phantom_labels_csv(films: list[Film], task: str) -> str:
    """Return the table that an archive's owner would keep: one line per film.

    Args:
        films: all films.
        task: ``"opacity"`` has one column of class names, ``label``; the others have one column
            of 1 and 0 per finding.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    findings = TASKS[task]
    columns = ["label"] if task == "opacity" else findings
    writer.writerow(["image", *columns, "patient_id", "sex", "age", "view", "site", "lung_mask"])
    for film in films:
        patient = film.patient
        writer.writerow(
            [
                _image(film),
                *(patient.present if task == "opacity" else _label(film, findings)),
                *(patient.mrn, patient.sex, patient.age, film.view, patient.site),
                _lung_mask(film),
            ]
        )
    return text.getvalue()


def phantom_regions_json(
    films: list[Film], regions: Mapping[int, list[dict[str, Any]]], size: int, task: str
) -> str:
    """Return COCO JSON; a film that nobody drew on is not listed in it.

    Args:
        films: all films.
        regions: what a perfect expert would draw, by film number.
        size: rows and columns.
        task: names the categories.
    """
    categories = {name: number for number, name in enumerate(TASKS[task], start=1)}
    annotations: list[dict[str, Any]] = []
    drawn = [film for film in films if film.drawn]
    for film in drawn:
        for region in regions[film.number]:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": film.number,
                    "category_id": categories[region["finding"]],
                    "iscrowd": 0,
                    **_coco_shape(region),
                }
            )
    return json.dumps(
        {
            "images": [
                {"id": film.number, "file_name": _image(film), "width": size, "height": size}
                for film in drawn
            ],
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for name, number in categories.items()],
        }
    )


def phantom_datalist(
    folder: Path,
    films: list[Film],
    regions: Mapping[int, list[dict[str, Any]]],
    settings: Mapping[str, Any],
    pixel_hashes: Mapping[int, str],
) -> Datalist:
    """Return the datalist; what is kept from training stands there under a name of its own.

    Items of unlabeled sections keep their truth as ``hidden_label``; films of task ``"fracture"``
    that the expert did not draw keep their boxes as ``hidden_regions``.

    Args:
        folder: the archive.
        films: all films.
        regions: what a perfect expert would draw, by film number.
        settings: of the archive: images, size, seed, task.
        pixel_hashes: SHA-256 of the stored pixels, by film number; may be empty.
    """
    task, seed = str(settings["task"]), int(settings["seed"])
    findings = TASKS[task]
    sections: dict[str, list[dict[str, Any]]] = {}
    for name, part in plan_sections(films, seed, task).items():
        sections[name] = []
        for film in part:
            label = _label(film, findings)
            hidden = name.startswith("unlabeled")
            item: dict[str, Any] = {
                "image": _image(film),
                "label": [None] * len(findings) if hidden else label,
                "regions": regions[film.number] if film.drawn and not hidden else None,
                "lung_mask": _lung_mask(film),
                "patient_id": _salted(film.patient.mrn, seed, task),
                "id": _salted(film.name, seed, task),
                "sex": film.patient.sex,
                "age": film.patient.age,
                "view": film.view,
                "site": film.patient.site,
            }
            if hidden:
                item["hidden_label"] = label
            elif task == "fracture" and not film.drawn:
                item["hidden_regions"] = regions[film.number]
            if film.number in pixel_hashes:
                item["pixel_sha256"] = pixel_hashes[film.number]
            sections[name].append(item)
    return Datalist(
        list(findings), task == "opacity", sections, folder, {"phantom": dict(settings)}
    )


def _image(film: Film) -> str:
    return f"dicom/{film.name}.dcm"


def _lung_mask(film: Film) -> str:
    return f"lung_masks/{film.name}.png"


def _label(film: Film, findings: tuple[str, ...]) -> list[int]:
    return [int(name in film.patient.present) for name in findings]


def _coco_shape(region: dict[str, Any]) -> dict[str, Any]:
    if "box" in region:
        x_min, y_min, x_max, y_max = region["box"]
        width, height = x_max - x_min, y_max - y_min
        return {"bbox": [x_min, y_min, width, height], "area": width * height, "segmentation": []}
    points = region["polygon"]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    twice = sum(xs[k - 1] * ys[k] - xs[k] * ys[k - 1] for k in range(len(points)))
    return {
        "bbox": [min(xs), min(ys), round(max(xs) - min(xs), 1), round(max(ys) - min(ys), 1)],
        "area": round(abs(twice) / 2, 1),
        "segmentation": [[value for point in points for value in point]],
    }


def _salted(text: str, seed: int, task: str) -> str:
    """Return a salted hash; the salt is fixed because the people are invented."""
    return hashlib.sha256(f"phantom:{task}:{seed}:{text}".encode()).hexdigest()[:16]
