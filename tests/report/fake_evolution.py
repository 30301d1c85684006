# SPDX-License-Identifier: Apache-2.0
"""What a training in rounds adds to a run directory, invented, but as it could be."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_kd.explain import overlay
from tests.report.fake_film import case

AUROC = {
    "distl": (0.842, 0.871, 0.866, 0.903),
    "supervised": (0.842, 0.846, 0.851, 0.849),
    "supervised_all": (0.842, 0.902, 0.921, 0.934),
    "mean_teacher": (0.842, 0.858, 0.861, 0.868),
}
FOLDERS = ("initial", "round_1", "round_2", "round_3")
NAMES = ("initial", "round 1", "round 2", "round 3")


def add_evolution(folder, *, name="", rolled_back=(2,), delivered=3, methods=tuple(AUROC)):
    """Extend a run by ``rounds.json``, ``evolution.json``, ``health.csv`` and pictures."""
    told = [_method(method, rolled_back if method == "distl" else ()) for method in methods]
    told[0]["delivered"] = delivered
    rounds = [
        {**{key: entry[key] for key in _ABOUT}, "folder": FOLDERS[entry["round"]],
         "difference": entry["gate"]}
        for entry in told[0]["rounds"]
    ]  # fmt: skip
    content = {"method": "distl", "delivered": delivered, "rounds": rounds}
    (folder / "rounds.json").write_text(json.dumps(content))
    evolution = {
        "section": "test", "films": 90, "patients": 45, "findings": ["normal"],
        "activation": "softmax", "upper_bound": "supervised_all", "methods": told,
        "pictures": _pictures(folder / "pictures" / "rounds", name),
    }  # fmt: skip
    (folder / "evolution.json").write_text(json.dumps(evolution))
    _health(folder / "health.csv")
    return folder


_ABOUT = ("round", "name", "labeled", "unlabeled", "accepted", "reason", "validation")


def _method(method, rolled_back):
    rounds = []
    for number, value in enumerate(AUROC[method]):
        back = number in rolled_back
        entry = {
            "round": number, "name": NAMES[number], "labeled": 70, "unlabeled": 70 * number,
            "accepted": not back, "validation": {"student": {"macro_auroc": _score(value)["ci"]}},
            "reason": "worse by more than 0.05: macro AUROC -0.061 on 60 validation films "
            "(95% CI -0.143 to +0.021)" if back else "",
            "gate": _gate(back) if number else None,
            "student": _score(value), "teacher": _score(value + 0.004),
        }  # fmt: skip
        if number:
            entry["against_initial"] = difference(value - 0.842)
            entry["against_before"] = difference(value - AUROC[method][number - 1]) | {"round": 0}
        if number and method == "distl":
            entry["against"] = {
                other: difference(value - AUROC[other][number]) | {"round": number}
                for other in AUROC if other != method
            }  # fmt: skip
            entry["gap_closed"] = {
                "gap": 0.092, "value": (value - 0.842) / 0.092, "ci": [0.21, 1.1]
            }  # fmt: skip
        rounds.append(entry)
    return {"method": method, "delivered": 3, "network": "student", "rounds": rounds}


def _gate(back):
    numbers = (-0.061, -0.143, 0.021) if back else (0.023, -0.02, 0.066)
    return {"score": "macro_auroc", **dict(zip(("value", "low", "high"), numbers, strict=True))}


def _score(value):
    return {"value": value, "ci": [value - 0.05, min(value + 0.04, 1)]}


def difference(value, width=0.035):
    low, high = value - width, value + width
    verdict = "gain shown" if low > 0 else "loss shown" if high < 0 else "not shown"
    return {"value": value, "ci": [low, high], "p_value": 0.03, "verdict": verdict}


def _pictures(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    text = PngInfo()
    text.add_text("Comment", f"patient {name}")
    told = []
    for number in range(1, 5):
        tiles = []
        for seed in range(5):
            film, _, map_ = case(number, aims=seed > 2)
            tile = overlay(film, 0 * map_ if seed == 0 else map_)
            tiles += [np.asarray(Image.fromarray(tile).resize((200, 200)))]
            tiles += [np.full((200, 4, 3), 255, np.uint8)] if seed < 4 else []
        picture = np.concatenate(tiles, axis=1)
        Image.fromarray(picture).save(folder / f"change_{number:02d}.png", pnginfo=text)
        Image.fromarray(picture[:, :812]).save(folder / f"change_{number:02d}_heads.png")
        better = number < 3
        told.append(
            {"picture": f"change_{number:02d}", "heads": f"change_{number:02d}_heads",
             "method": "relevance", "column": 0, "finding": "normal", "label": int(better),
             "better": better, "columns": [0, 1, 2, 3], "mapped": [True, True, number > 1, True],
             "prob": [0.21, 0.44, 0.52, 0.83]}
        )  # fmt: skip
    return told


def _health(path):
    names = ["phase", "iteration", "teacher_entropy", "information", "center_norm",
             "effective_rank", "positive_normal", "agreement"]  # fmt: skip
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for number in (1, 2, 3):
            for step in range(20, 401, 20):
                done = 1 - math.exp(-step / 120)
                writer.writerow(
                    [f"round_{number}", step, 0.9 - 0.3 * done, 1.1 + done + 0.2 * number, 2.0,
                     20 + 30 * done, 0.5 + 0.04 * math.sin(step / 40), 0.8 + 0.1 * done]
                )  # fmt: skip
