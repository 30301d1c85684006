# SPDX-License-Identifier: Apache-2.0
"""What the bundle cxr_aals_fracture_detection leaves in a run directory, invented, but possible."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.report.fake_film import case
from tests.report.read_page import changed, changed_summary
from tests.report.run_folders import write_csv

FINDING = "fracture"
POINTS = {
    "dotted": {"threshold": 0.2, "fp_per_image": 0.48, "recall": 0.8},
    "solid": {"threshold": 0.6, "fp_per_image": 0.09, "recall": 0.5},
}

FILMS = (0, 2, 10, 11, 20, 100, 101, 102)  # films in between had nothing to show


def make_detector(run, *, finding=FINDING, hidden=True, silent=False, name="", method="aals"):
    """Turn the run of ``make_run`` into one of a detector; ``name`` is planted."""
    changed(
        run, "config.json", bundle="cxr_aals_fracture_detection", method=method, center=0.4,
        backbone="resnet50", first_stage_epochs=20,
    )  # fmt: skip
    changed_summary(
        run,
        localization={finding: _localization()},
        decision_regions={
            "mass_inside": 0.41, "mass_inside_ci": [0.3, 0.5], "region_share": 0.03,
            "pointing_game": 0.7, "n": 41, "method": "map",
        },
    )  # fmt: skip
    points = {"findings": {finding: POINTS}, "radius": 4, "share": 0.5}
    changed(run, teacher=None, operating_points=points)
    (run / "operating_points.json").write_text(json.dumps(points))
    _tables(run, finding)
    _health(run / "health.csv", finding, hidden=hidden, silent=silent)
    _films(run / "detections", name)
    return run


def _localization():
    fp = np.linspace(0, 1.6, 60)
    recall = 0.85 * (1 - np.exp(-4 * fp))
    rates = [0.1, 0.2, 0.5, 1.0]
    at = [float(np.interp(rate, fp, recall)) for rate in rates]
    return {
        "images": 4, "lesions": 5, "rule": "center", "fp_per_image": rates, "recall": at,
        "recall_ci": [[max(value - 0.1, 0), min(value + 0.1, 1)] for value in at],
        "froc_score": 0.621, "froc_score_ci": [0.55, 0.69], "wafroc": 0.7,
        "wafroc_ci": [0.6, 0.8], "average_precision": 0.5,
        "curve": {"fp_per_image": fp.tolist(), "recall": recall.tolist()},
    }  # fmt: skip


def _tables(run, finding):
    """Five lesions on four films: two are found solid, four dotted; one and two false boxes."""
    lesions = [("i0", "p0", 2), ("i1", "p1", 2), ("i2", "p2", 1), ("i3", "p3", 0)]
    rows = [[film, patient, finding, count] for film, patient, count in lesions]
    write_csv(run / "lesions.csv", ["id", "patient_id", "finding", "lesions"], rows)
    found = [
        ("i0", 0.9, 0), ("i0", 0.25, 1), ("i0", 0.85, "repeat"), ("i1", 0.600001, 1),
        ("i2", 0.2, 0), ("i1", 0.1, 0), ("i3", 0.7, ""), ("i2", 0.3, ""), ("i3", 0.05, ""),
    ]  # fmt: skip
    box = ["x_min", "y_min", "x_max", "y_max"]
    rows = [[film, finding, score, 1, 2, 3, 4, lesion] for film, score, lesion in found]
    write_csv(run / "candidates.csv", ["id", "finding", "score", *box, "lesion"], rows)


def _health(path, finding, *, hidden, silent):
    names = [
        f"{name}_{finding}" for name in ("above_center", "peak", "sharpened_mass", "precision")
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        head = ["phase", "iteration", "pseudo_maps", "distillation_share"]
        writer.writerow([*head, *names])
        for step in range(20, 1001, 20):
            far = 1 - math.exp(-step / 300) + 0.03 * math.sin(step)
            above = 0 if silent else 0.1 + 0.75 * far
            row = [above, 0.2 + 0.5 * far, 0.9 - 0.6 * far, 0.3 + 0.4 * far if hidden else ""]
            writer.writerow(["second_stage", step, 60, 0.05 + 0.3 * far, *row])


def _films(folder, name):
    folder.mkdir(exist_ok=True)
    text = PngInfo()
    text.add_text("Comment", f"patient {name}")
    for seed, number in enumerate(FILMS):
        film, region, _ = case(seed)
        picture = np.repeat((255 * film).astype(np.uint8)[..., None], 3, axis=2)
        rows, columns = np.where(region)
        box = rows.min(), rows.max(), columns.min(), columns.max()
        _outline(picture, box, (255, 255, 255), gap=1)
        shifted = tuple(side + 3 for side in box)
        _outline(picture, shifted, (255, 210, 64), gap=1 + 3 * (seed % 2))
        large = Image.fromarray(picture).resize((480, 480), Image.Resampling.NEAREST)
        large.save(folder / f"film_{number}.png", pnginfo=text)


def _outline(picture, box, color, *, gap):
    top, bottom, left, right = box
    picture[[top, bottom], left:right:gap] = color
    picture[top:bottom:gap, [left, right]] = color
