# SPDX-License-Identifier: Apache-2.0
"""A run in rounds with tiny networks, made in a moment: what training in rounds leaves behind."""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F
from monai.engines import SupervisedEvaluator
from torch import nn
from torch.utils.data import DataLoader

from monai_kd.data import collate_items
from monai_kd.engines import TeacherPrepareBatch
from monai_kd.handlers import CollectPredictions, PredictionsCSV

SIZE = 32


class SeesBrightness(nn.Module):
    """One finding; ``gain`` says how much the brightness of 16 cells speaks for it."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([float(gain)]))

    def forward_features(self, image):
        return F.avg_pool2d(image, 8) * self.gain

    def forward_head(self, features):
        return features.mean((2, 3))

    def forward(self, image):
        return self.forward_head(self.forward_features(image))


def films(count=24, seed=0, **more):
    """Films of which the odd ones have the finding and are a little brighter on the left."""
    generator = torch.Generator().manual_seed(seed)
    items = []
    for number in range(count):
        image = 0.5 * torch.randn(1, SIZE, SIZE, generator=generator) + 0.6 * torch.randn(
            1, generator=generator
        )
        image[:, :, : SIZE // 2] += 1.5 * (number % 2)
        items.append(
            {"index": number, "id": f"id{number:02d}", "patient_id": f"p{number // 2}",
             "image": image, "label": torch.tensor([float(number % 2)])} | more
        )  # fmt: skip
    return items


def evaluator_of(network, items):
    handlers = [CollectPredictions(activation="sigmoid")]
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(items, batch_size=5, collate_fn=collate_items),
        network=network,
        prepare_batch=TeacherPrepareBatch(None),
        decollate=False,
        val_handlers=handlers,
    )


def table(folder):
    return PredictionsCSV(folder / "nothing.csv", findings=["spot"])


def write_rounds(root, models, *, method="distl", delivered=None, rejected=(), teacher=True):
    """Write ``rounds.json`` and the state dicts; ``models`` are networks, one for each round."""
    entries = []
    for number, network in enumerate(models):
        folder = f"round_{number}" if number else "initial"
        (root / folder).mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), root / folder / "model.pt")
        if teacher:
            torch.save(network.state_dict(), root / folder / "teacher.pt")
        accepted = number not in rejected
        entries.append(
            {"round": number, "name": f"round {number}" if number else "initial", "folder": folder,
             "labeled": 70, "unlabeled": 70 * number, "accepted": accepted,
             "reason": "" if accepted else "shown to be worse: macro AUROC -0.100",
             "validation": {"student": {"macro_auroc": [0.8, 0.7, 0.9]}}, "difference": None}
        )  # fmt: skip
    kept = [entry["round"] for entry in entries if entry["accepted"]]
    delivered = kept[-1] if delivered is None else delivered
    content = {"method": method, "delivered": delivered, "rounds": entries}
    (root / "rounds.json").write_text(json.dumps(content))
    torch.save(models[delivered].state_dict(), root / "model.pt")
    return root
