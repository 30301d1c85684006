# SPDX-License-Identifier: Apache-2.0
"""A network of one weight that sees bright spots, films with spots, and an evaluator for both."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from ignite.engine import Engine
from torch import nn

from monai_kd.handlers import ClassificationMetrics, CollectPredictions

SIZE = 32
FINDINGS = ["none", "spot"]


class SeesSpots(nn.Module):
    """Features are the brightness of cells of 4 pixels; the second finding speaks from them."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.gain.weight)

    def forward_features(self, image):
        return self.gain(F.avg_pool2d(image, 4))

    def forward_head(self, features):
        seen = 100 * features.mean((1, 2, 3))
        return torch.stack([1 - seen, seen - 1], dim=1)

    def forward(self, image):
        return self.forward_head(self.forward_features(image))


def films(*spots, label=None, drawn=True, first=0, **more):
    """Films of 32 pixels with bright squares of 8 pixels at (row, column), each in a region.

    A spot of four numbers is bright at the first two and drawn at the last two; None stands for a
    place that is not bright, or not drawn.
    """
    image = torch.zeros(len(spots), 1, SIZE, SIZE)
    mask = torch.zeros(len(spots), 2, SIZE, SIZE)
    for film, places in enumerate(spots):
        for place in places:
            bright, region = place[:2], place[2:] or place[:2]
            if None not in bright:
                image[film, 0, bright[0] : bright[0] + 8, bright[1] : bright[1] + 8] = 1
            if None not in region:
                mask[film, 1, region[0] : region[0] + 8, region[1] : region[1] + 8] = 1
    present = mask[:, 1].flatten(1).any(1).long() if label is None else torch.tensor(label)
    index = list(range(first, first + len(spots)))
    return {
        "index": torch.tensor(index),
        "id": [f"id{number}" for number in index],
        "patient_id": [f"patient{number}" for number in index],
        "image": image,
        "label": torch.eye(2)[present],
        "region_mask": mask,
        "region_annotated": torch.full((len(spots), 2), drawn),
    } | more


def evaluate(network, batches, *handlers, answer=None, activation="softmax"):
    """Run an evaluator with the handlers that come before those under test; return its state."""

    def step(engine, batch):
        pred = network(batch["image"]) if answer is None else answer(batch)
        return {"pred": pred, "image": batch["image"]}

    engine = Engine(step)
    first = [
        CollectPredictions(activation=activation),
        ClassificationMetrics(FINDINGS, activation=activation),
    ]
    for handler in (*first, *handlers):
        handler.attach(engine)
    engine.run(batches)
    return engine.state
