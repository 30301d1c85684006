# SPDX-License-Identifier: Apache-2.0
"""Whatever shows where a classifier looks shows where a detector does, and is right about it."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from monai_kd.handlers import DecisionRegions, HeatMaps, Localization, WorstCases
from monai_kd.networks import MapMemory, build_aals_network
from tests.handlers.small_evaluation import FINDINGS, evaluate, films


class DetectsSpots(nn.Module):
    """Its second map is the brightness of cells of 4 pixels, its first says that there is none."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Conv2d(1, 1, 1)
        nn.init.constant_(self.gain.weight, 8.0)
        nn.init.constant_(self.gain.bias, -5.0)

    def forward_map(self, image):
        seen = self.gain(F.avg_pool2d(image, 4))
        return torch.cat([-seen.amax((2, 3), keepdim=True).expand_as(seen), seen], dim=1)

    def forward(self, image):
        return self.forward_map(image).amax((2, 3))


def aals():
    torch.manual_seed(0)
    return build_aals_network("resnet10-w16", num_findings=2, channels=16).eval()


def two_films():
    return films([(8, 8)], [(16, 4), (2, 22)])


def handlers(network, folder):
    return [
        DecisionRegions(network, folder=folder, mean=0, sd=1),
        Localization(network, folder, FINDINGS, activation="sigmoid"),
        WorstCases(network, folder, findings=FINDINGS, activation="sigmoid", mean=0, sd=1),
        HeatMaps(network, folder=folder / "heat", findings=FINDINGS, mean=0, sd=1),
    ]


def judge(network, folder, batch=None):
    batch = [two_films() if batch is None else batch]
    return evaluate(network.eval(), batch, *handlers(network, folder), activation="sigmoid").summary


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_regions_are_compared_with_the_map_of_the_detector(tmp_path):
    found = judge(DetectsSpots(), tmp_path)["decision_regions"]
    assert found["method"] == "map"
    assert found["n"] == 2
    assert found["pointing_game"] == 1
    assert found["mass_inside"] > 0.5  # the rest is the 0.7% of each cell beside, and the rim


def test_candidates_have_the_probability_of_the_map(tmp_path):
    summary = judge(DetectsSpots(), tmp_path)
    found = [row for row in rows(tmp_path / "candidates.csv") if row["finding"] == "spot"]
    hits = [row for row in found if row["lesion"] not in ("", "repeat")]
    assert len(hits) == 3
    sure = torch.tensor(3.0).sigmoid().item()
    assert max(float(row["score"]) for row in hits) == pytest.approx(sure, rel=1e-4)
    assert summary["localization"]["spot"]["froc_score"] == 1


def test_the_worst_films_are_drawn_with_the_map(tmp_path):
    wrong = films([(8, 8, None, None)], [(16, 4)], label=[0, 1])
    (worst, *_) = judge(DetectsSpots(), tmp_path, wrong)["worst_cases"]
    assert worst["mapped"]
    assert worst["prob"]["spot"] > 0.9
    assert worst["label"]["spot"] == 0
    assert (tmp_path / "pictures" / "worst" / "worst_01.png").exists()


def test_heat_maps_are_warm_on_the_spot(tmp_path):
    judge(DetectsSpots(), tmp_path, films([(8, 8)]))
    picture = np.asarray(Image.open(tmp_path / "heat" / "id0_spot.png").convert("RGB"), float)
    side = len(picture) / 32
    warm = picture[..., 0] - picture[..., 2]
    row, column = np.unravel_index(warm.argmax(), warm.shape)
    assert 6 <= row / side <= 18
    assert 6 <= column / side <= 18


def test_all_of_them_take_the_real_network_and_leave_it_as_it_was(tmp_path):
    network = aals()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    summary = judge(network, tmp_path)
    assert summary["decision_regions"]["method"] == "map"
    assert summary["decision_regions"]["control"]["n"] == 2
    assert summary["localization"]["spot"]["lesions"] == 3
    assert [case["mapped"] for case in summary["worst_cases"]] == [True, True]
    assert len(list((tmp_path / "heat").glob("*.png"))) == 2
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_what_wraps_the_network_is_refused_when_the_evaluator_is_built(tmp_path):
    with pytest.raises(TypeError, match=r"must have `forward_map`.*got MapMemory"):
        DecisionRegions(MapMemory(aals()), folder=tmp_path)
