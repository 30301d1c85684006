# SPDX-License-Identifier: Apache-2.0
"""Everything that an evaluation may add to its summary, invented, but as it could be."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from monai_kd.explain import overlay
from monai_kd.metrics import read_predictions
from tests.report.fake_film import case


def add_evidence(folder, *, external=False, activation="softmax"):
    """Extend ``evaluation.json`` by every block that the page knows, and draw the worst films."""
    path = folder / "evaluation.json"
    evaluation = json.loads(path.read_text())
    section = evaluation.get("predictions_of", "test")
    table = read_predictions(folder / "predictions.csv")
    summary = evaluation["sections"][section]
    summary |= {
        **scores(summary),
        "calibration": calibration(table),
        "operating_points": operating_points(table),
        "subgroups": subgroups(table, summary["macro_auroc"]),
        "localization": localization(table.findings[1:]),
        "decision_regions": decision_regions(summary.get("decision_regions", {})),
        "worst_cases": worst_cases(table, folder / "pictures" / "worst"),
    }
    if external:
        summary["external"] = from_elsewhere(summary)
    evaluation["datalist_sha256"] = "5a0c" * 16
    path.write_text(json.dumps(evaluation))
    return folder


def around(value, width=0.08):
    """Limits around a share, as wide as given, inside [0, 1]."""
    return [max(value - width, 0.0), min(value + 0.7 * width, 1.0)]


def scores(summary):
    found = {
        f"{name}_ci": around(summary[name])
        for name in ("accuracy", "balanced_accuracy", "macro_f1")
    }
    auprc = {name: 0.97 * (value or 0.5) for name, value in summary["auroc"].items()}
    mean = sum(auprc.values()) / len(auprc)
    return {
        **found, "auprc": auprc, "auprc_ci": {name: around(value) for name, value in auprc.items()},
        "macro_auprc": mean, "macro_auprc_ci": around(mean),
    }  # fmt: skip


def calibration(table):
    curves = {}
    for column, name in enumerate(table.findings):
        known = ~np.isnan(table.label[:, column])
        prob, label = table.prob[known, column], table.label[known, column]
        bins = np.array_split(np.argsort(prob), 6)
        share = [float(label[one].mean()) for one in bins]
        curves[name] = {
            "mean_prob": [float(prob[one].mean()) for one in bins], "share": share,
            "low": [around(value, 0.2)[0] for value in share],
            "high": [around(value, 0.2)[1] for value in share], "n": [len(one) for one in bins],
        }  # fmt: skip
    return {
        "ece": 0.081, "ece_ci": [0.052, 0.121], "brier": 0.152, "brier_ci": [0.118, 0.187],
        "temperature": 1.42, "ece_scaled": 0.043, "brier_scaled": 0.144, "reliability": curves,
    }  # fmt: skip


def operating_points(table):
    rows = []
    for column, name in enumerate(table.findings):
        known = ~np.isnan(table.label[:, column])
        prob, truth = table.prob[known, column], table.label[known, column] == 1
        for goal, threshold in (
            ("sensitivity 0.95", float(np.quantile(prob[truth], 0.08))),
            ("specificity 0.90", float(np.quantile(prob[~truth], 0.88))),
        ):
            marked = prob >= threshold
            tp, fn = int((marked & truth).sum()), int((~marked & truth).sum())
            fp, tn = int((marked & ~truth).sum()), int((~marked & ~truth).sum())
            rates = {
                "sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp),
                "ppv": tp / (tp + fp), "npv": tn / (tn + fn),
                "ppv_at_prevalence": 0.31, "npv_at_prevalence": 0.987,
            }  # fmt: skip
            rows.append(
                {"finding": name, "goal": goal, "threshold": threshold, "prevalence": 0.05}
                | {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
                | {"validation": {"sensitivity": 0.95, "specificity": 0.61}}
                | rates
                | {f"{key}_ci": around(value) for key, value in rates.items()}
            )
    return rows


def subgroups(table, auroc):
    rng = np.random.default_rng(0)
    groups = {
        "sex": ("F", "M", "not known"), "age": ("18 to 39", "40 to 59", "60 to 79", "80 and older"),
        "view": ("AP", "PA"), "site": ("harbor", "north", "south"),
    }  # fmt: skip
    rows = []
    for by, names in groups.items():
        for number, name in enumerate(names):
            n = max(len(table) // (number + 2), 4)
            value = float(np.clip(auroc + rng.normal(0, 0.04), 0, 1))
            small = n < 10
            rows.append({
                "by": by, "group": name, "n": n, "patients": n // 2,
                "positives": dict.fromkeys(table.findings, n // 3),
                "macro_auroc": None if small else value,
                "macro_auroc_ci": None if small else around(value, 0.9 / n**0.5),
                "accuracy": value - 0.1, "accuracy_ci": around(value - 0.1, 0.8 / n**0.5),
            })  # fmt: skip
    return rows


def localization(findings):
    found = {}
    for number, name in enumerate(findings):
        fp = np.linspace(0, 1.6, 60)
        recall = (0.75 - 0.2 * number) * (1 - np.exp(-3 * fp))
        rates = [0.1, 0.2, 0.5, 1.0]
        at = [float(np.interp(rate, fp, recall)) for rate in rates]
        found[name] = {
            "images": 75, "lesions": 31 - number, "rule": "center",
            "fp_per_image": rates, "recall": at, "recall_ci": [around(value, 0.12) for value in at],
            "froc_score": float(np.mean(at)), "froc_score_ci": around(float(np.mean(at)), 0.1),
            "wafroc": 0.71, "wafroc_ci": [0.62, 0.79], "average_precision": 0.244,
            "curve": {"fp_per_image": fp.tolist(), "recall": recall.tolist()},
        }  # fmt: skip
    return found


def decision_regions(old):
    inside = old.get("mass_inside", 0.2)
    return {
        "region_share": 0.064, "n": 48, **old, "pointing_game": 0.31,
        "mass_inside_ci": around(inside, 0.02), "pointing_game_ci": [0.19, 0.46],
        "iou": 0.184, "iou_ci": [0.151, 0.222], "iou_threshold": 0.6, "patients": 33,
        "method": "grad_cam",
        "control": {
            "mass_inside": 0.059, "mass_inside_ci": [0.051, 0.068], "pointing_game": 0.06,
            "pointing_game_ci": [0.02, 0.16], "iou": 0.071, "iou_ci": [0.06, 0.084],
        },
        "beyond_control": {
            "mass_inside": inside - 0.059, "mass_inside_ci": [inside - 0.079, inside - 0.045],
        },
    }  # fmt: skip


def worst_cases(table, folder):
    folder.mkdir(parents=True, exist_ok=True)
    wrong = np.nanmax(table.prob * (table.label != 1), 1)
    entries = []
    for rank, row in enumerate(np.argsort(-wrong)[:10], start=1):
        film, region, map_ = case(rank)
        picture = Image.fromarray(overlay(film, map_, region_mask=region if rank % 3 else None))
        picture.resize((320, 320)).save(folder / f"worst_{rank:02d}.png")
        label = [None if np.isnan(value) else int(value) for value in table.label[row]]
        entries.append({
            "picture": f"worst_{rank:02d}", "rank": rank,
            "label": dict(zip(table.findings, label, strict=True)),
            "prob": dict(zip(table.findings, map(float, table.prob[row]), strict=True)),
            "loss": float(-np.log(1 - wrong[row] + 1e-4)),
            "explained": table.findings[int(table.prob[row].argmax())],
            "sex": "F" if rank % 2 else "M", "age": 94 if rank == 2 else 30 + rank,
            "view": "PA", "site": "north" if rank > 3 else "",
        })  # fmt: skip
    return entries


def from_elsewhere(summary):
    home = min(summary["macro_auroc"] + 0.12, 0.99)
    return {
        "internal_auroc": home, "internal_ci": around(home, 0.03), "auroc": summary["macro_auroc"],
        "drop": home - summary["macro_auroc"], "drop_ci": [0.05, 0.19], "p_value": 0.0007,
        "verdict": "drop shown", "per_finding": {
            name: {"internal_auroc": 0.95, "internal_ci": [0.91, 0.98], "auroc": value,
                   "auroc_ci": around(value or 0.5), "drop": 0.95 - (value or 0.5),
                   "drop_ci": [0.01, 0.18], "p_value": 0.02, "verdict": "drop shown"}
            for name, value in summary["auroc"].items()
        },
        "histogram": {"distance": 0.2, "inverted_distance": 0.05},
        "hints": ["The gray values look turned over: the histogram is nearer to the mirrored one "
                  "of the training films (0.05) than to theirs (0.20). Look for MONOCHROME1."],
    }  # fmt: skip
