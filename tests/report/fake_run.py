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
from tests.report.fake_film import case

FINDINGS = ["normal", "bacterial", "viral"]


def make_run(folder, *, skill=1.6, activation="softmax", n=90, name="", seed=0, slow=False) -> Path:
    """Write a run; ``skill`` moves the AUROC, ``name`` is planted where it could leak.

    Training curves take a second: only if ``slow``.
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


def write_pictures(folder, name):
    folder.mkdir(exist_ok=True)
    text = PngInfo()
    text.add_text("Comment", f"patient {name}")
    for seed in range(4):
        film, region, map_ = case(seed, aims=bool(name))
        picture = overlay(film, map_, region_mask=region)
        Image.fromarray(picture).save(folder / f"i00{seed:02x}.png", pnginfo=text)
