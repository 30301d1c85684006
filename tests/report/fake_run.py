# SPDX-License-Identifier: Apache-2.0
"""A run directory as training and evaluation leave it, made in a moment."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_kd.explain import overlay
from monai_kd.metrics import classification_summary
from monai_kd.report import RegionCase, decision_regions_png

FINDINGS = ["normal", "bacterial", "viral"]


def make_run(folder, *, skill=1.6, activation="softmax", n=90, name="", seed=0, slow=False) -> Path:
    """Write a run; ``skill`` moves the AUROC, ``name`` is planted where it could leak.

    Curves and the picture of decision regions take seconds: only if ``slow``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prob, label, patient = predictions(skill, activation, n, seed)
    write_predictions(folder, prob, label, patient)
    summary = classification_summary(
        prob, label, findings=FINDINGS, activation=activation, patient_id=patient
    )
    summary["decision_regions"] = {
        "mass_inside": 0.3 * skill, "region_share": 0.062, "pointing_game": 0.5 * skill, "n": 41
    }  # fmt: skip
    teacher = {"accuracy": 0.873, "shuffled_region_accuracy": 0.541, "n": 90}
    evaluation = {"sections": {"test": summary}, "teacher": teacher}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    config = {
        "bundle_root": f"/home/{name}/bundle", "dataset_dir": f"/home/{name}/phantom",
        "method": "hkd", "backbone": "resnet18", "spatial_size": 128, "max_epochs": 20,
        "learning_rate": 0.0003, "device": "$torch.device('cpu')", "train": {"trainer": {}},
        "crop": [0.8, 1.0], "pretrained_path": "", "synthetic": True, **about_data(),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    write_pictures(folder / "pictures", name)
    if slow:
        write_metrics(folder)
        write_decision_regions(folder / "pictures")
    return folder


def predictions(skill, activation, n, seed):
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 3, n)
    label = np.eye(3)[truth]
    noise = rng.normal(size=(n, 3)) + 0.3 * np.random.default_rng(seed).normal(size=(n, 3))
    logits = noise + skill * label
    if activation == "softmax":
        prob = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    else:
        prob, label = 1 / (1 + np.exp(-logits + skill / 2)), label.copy()
        label[::9, 1] = np.nan
    return prob, label, [f"p{i // 2:04x}" for i in range(n)]


def write_predictions(folder, prob, label, patient):
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        header = ["id", "patient_id", "site"]
        writer.writerow(
            [*header, *(f"label_{f}" for f in FINDINGS), *(f"prob_{f}" for f in FINDINGS)]
        )
        for i, (p, t) in enumerate(zip(prob, label, strict=True)):
            known = ["" if math.isnan(value) else int(value) for value in t]
            writer.writerow([f"i{i:04x}", patient[i], "A", *known, *p])


def about_data():
    def section(images, drawn):
        third = images // 3
        return {
            "images": images, "patients": images // 2, "regions": drawn,
            "positives": dict.fromkeys(FINDINGS, third), "sites": {"A": images - third, "B": third},
        }  # fmt: skip

    return {
        "data": {"labeled": section(120, 61), "test": section(90, 41)},
        "sha256": "3b1f" * 16,
        "versions": {"monai-kd": "0.1.0", "monai": "1.6.1", "torch": "2.13.0"},
    }


def write_metrics(folder):
    names = "phase,epoch,learning_rate,feature_weight,train_loss,train_feature_loss,"
    names += "val_cross_entropy,val_macro_auroc,val_accuracy"
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names.split(","))
        for phase in ("teacher", "student"):
            for epoch in range(1, 21):
                decay = math.exp(-epoch / 6) + 0.03 * math.sin(epoch * 2.1)
                weight = max(0.5 - epoch / 30, 0) if phase == "student" else ""
                part = 0.4 * decay if phase == "student" else ""
                rate = 3e-4 * (1 + math.cos(epoch / 6.4))
                scores = [0.5 + 0.6 * decay, 0.9 - 0.35 * decay, 0.8 - 0.4 * decay]
                writer.writerow([phase, epoch, rate, weight, 0.2 + decay, part, *scores])


def film(seed, size=96):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    lungs = sum(np.exp(-(((x - c) / 0.15) ** 2) - ((y - 0.5) / 0.3) ** 2) for c in (0.3, 0.7))
    ribs = 0.06 * np.sin(26 * y + 6 * (x - 0.5) ** 2)
    return np.clip(0.75 - 0.55 * lungs + ribs + rng.normal(0, 0.03, (size, size)), 0, 1)


def case(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:96, 0:96]
    row, column = rng.integers(30, 66), int(rng.choice([29, 67]))
    mask = (abs(y - row) < 9) & (abs(x - column) < 8)

    def blob(r, c, width):
        return np.exp(-((y - r) ** 2 + (x - c) ** 2) / width**2)

    student, baseline = (
        blob(row + 3, column, 14),
        np.maximum(blob(50, 48, 30), 0.5 * blob(row, column, 12)),
    )
    inside = {
        k: float((v * mask).sum() / v.sum())
        for k, v in (("baseline", baseline), ("student", student))
    }
    image = np.clip(film(seed) + 0.3 * blob(row, column, 8), 0, 1)
    captions = {k: f"P = 0.8{seed}, {v:.0%} of the map inside" for k, v in inside.items()}
    return RegionCase(
        "bacterial", image, mask, {"baseline": baseline, "student": student}, captions
    )


def write_pictures(folder, name):
    folder.mkdir(exist_ok=True)
    text = PngInfo()
    text.add_text("Comment", f"patient {name}")
    for seed in range(4):
        one = case(seed)
        cam = one.cams["student" if name else "baseline"]
        picture = overlay(one.image, cam, region_mask=one.region_mask)
        Image.fromarray(picture).save(folder / f"i00{seed:02x}.png", pnginfo=text)


def write_decision_regions(folder):
    picture = decision_regions_png([case(seed) for seed in range(4)])
    (folder / "decision_regions.png").write_bytes(picture)
