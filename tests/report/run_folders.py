# SPDX-License-Identifier: Apache-2.0
"""Run directories as an evaluation leaves them, with the tables that comparisons read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

FINDINGS = ["normal", "bacterial", "viral"]


def write_run(folder, *, skill=1.2, seed=0, n=60, section="test", **config) -> Path:
    """Write an evaluated run; films and labels are the same whatever the seed."""
    folder.mkdir(parents=True, exist_ok=True)
    label = np.eye(3)[np.random.default_rng(7).integers(0, 3, n)]
    logits = skill * label + np.random.default_rng(100 + seed).normal(size=(n, 3))
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    write_predictions(folder, prob, label)
    sections = {section: {"activation": "softmax", "findings": FINDINGS}}
    evaluation = {"predictions_of": section, "sections": sections}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    config = {"method": "hkd", "seed": seed, "findings": FINDINGS, **config}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def seed_runs(folder, *, skill, seeds=(0, 1, 2, 10), first=0):
    """Write evaluated runs ``seed_0``, ``seed_1``, ...; their seeds begin with ``first``."""
    for seed in seeds:
        write_run(folder / f"seed_{seed}", skill=skill, seed=first + seed)
    return folder


def write_predictions(folder, prob, label):
    header = ["id", "patient_id", "sex", *(f"label_{f}" for f in FINDINGS)]
    rows = [
        [f"i{number}", f"p{number // 2}", "FM"[number % 4 > 1], *map(int, t), *p]
        for number, (p, t) in enumerate(zip(prob, label, strict=True))
    ]
    write_csv(folder / "predictions.csv", [*header, *(f"prob_{f}" for f in FINDINGS)], rows)


def write_localization(folder, *, found=0.5, seed=0, films=40):
    """Write ``candidates.csv`` and ``lesions.csv``: one lesion on each second film."""
    rng = np.random.default_rng(seed)
    lesions, candidates = [], []
    for number in range(films):
        count = number % 2
        lesions.append([f"i{number}", f"p{number // 2}", "viral", count])
        if count and rng.random() < found:
            candidates.append([f"i{number}", "viral", 0.5 + rng.random() / 2, 1, 2, 3, 4, 0])
            candidates.append([f"i{number}", "viral", 0.99, 1, 2, 3, 4, "repeat"])
        candidates.append([f"i{number}", "viral", rng.random() / 2, 5, 6, 7, 8, ""])
    box = ["x_min", "y_min", "x_max", "y_max"]
    write_csv(folder / "lesions.csv", ["id", "patient_id", "finding", "lesions"], lesions)
    write_csv(folder / "candidates.csv", ["id", "finding", "score", *box, "lesion"], candidates)


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
