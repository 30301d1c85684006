# SPDX-License-Identifier: Apache-2.0
"""Maps against regions over a whole evaluation: control, patients, processes."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from monai_kd.handlers import DecisionRegions
from monai_kd.metrics import decision_region_summary
from tests.handlers.small_evaluation import SeesSpots, evaluate, films


def regions(folder, network=None, **more):
    return DecisionRegions(network or SeesSpots(), folder=folder, mean=0, sd=1, **more)


def seen(folder, *batches, **more):
    state = evaluate(SeesSpots(), list(batches), regions(folder, **more))
    return state.summary.get("decision_regions")


def test_a_map_on_the_spot_agrees_in_every_number(tmp_path):
    result = seen(tmp_path, films([(8, 8)], [(16, 4)]), films([(4, 16)], [], first=2))
    assert result["n"] == result["patients"] == 3
    assert result["pointing_game"] == 1
    assert result["mass_inside"] > 0.7
    assert result["iou"] > 0.9
    assert 0.3 <= result["iou_threshold"] <= 0.6  # half of the peak, on the rim of the spot
    assert result["region_share"] == 64 / 32**2
    assert result["method"] == "grad_cam"
    json.dumps(result, allow_nan=False)


def test_a_map_beside_the_region_agrees_in_none(tmp_path):
    result = seen(tmp_path, films([(2, 2, 22, 22)], [(22, 2, 2, 22)]))
    assert result["mass_inside"] == result["pointing_game"] == result["iou"] == 0
    assert result["mass_inside_ci"][0] == 0


def test_the_control_is_the_same_network_without_what_it_learned(tmp_path):
    """The spot network with another weight has the same map, or none: nothing was learned."""
    result = seen(tmp_path, films([(8, 8)], [(16, 4)], [(0, 0)]), controls=5)
    assert result["control"]["n"] == 3
    assert result["control"]["mass_inside"] == pytest.approx(result["mass_inside"], abs=1e-6)
    assert result["beyond_control"]["mass_inside"] == pytest.approx(0, abs=1e-6)


def test_the_control_can_be_left_out(tmp_path):
    result = seen(tmp_path, films([(8, 8)]), controls=0)
    assert result["n"] == 1
    assert "control" not in result


class Wide(nn.Module):
    """Eight features, none of them chosen by hand."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(1, 8, 5, 4, 2)
        self.fc = nn.Linear(8, 2)

    def forward_features(self, image):
        return self.features(image)

    def forward_head(self, features):
        return self.fc(features.mean((2, 3)))

    def forward(self, image):
        return self.forward_head(self.forward_features(image))


def test_two_runs_have_the_same_control_which_is_not_the_network(tmp_path):
    def once():
        network = Wide()
        state = evaluate(network, [films([(8, 8)], [(16, 4)])], regions(tmp_path, network))
        return state.summary["decision_regions"]

    first = once()
    assert first == once()
    assert first["control"]["n"] > 0
    assert first["control"]["mass_inside"] != first["mass_inside"]


def test_a_film_that_two_processes_saw_counts_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "monai_kd.handlers.decision_regions.gather_objects", lambda mine: [mine, mine]
    )
    assert seen(tmp_path, films([(8, 8)], [(16, 4)]))["n"] == 2


def test_films_of_one_patient_count_together(tmp_path):
    two = films([(8, 8)], [(16, 4)], patient_id=["a", "a"])
    result = seen(tmp_path, two, films([(4, 16)], first=2))
    assert (result["n"], result["patients"]) == (3, 2)
    unknown = films([(8, 8)], [(16, 4)], patient_id=["a", None])
    assert seen(tmp_path, unknown)["patients"] is None


def test_a_film_without_a_map_is_said(tmp_path):
    result = seen(tmp_path, films([(8, 8)], [(None, None, 4, 4)]))
    assert (result["n"], result["empty"]) == (1, 1)


def test_an_unknown_method_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="`method` must be one of auto"):
        regions(tmp_path, method="guess")


def test_the_pictures_are_as_many_as_asked_for(tmp_path):
    seen(tmp_path, films([(8, 8)], [(16, 4)], [(0, 0)]), pictures=2)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["id0.png", "id1.png"]


def test_pictures_of_an_earlier_evaluation_go(tmp_path):
    seen(tmp_path, films([(8, 8)]))
    old = tmp_path / "pictures" / "id0.png"
    seen(tmp_path, films([]))
    assert old.exists()  # not in a run: it may be anybody's
    (tmp_path / "evaluation.json").write_text("{}")
    (tmp_path / "pictures" / "worst").mkdir()
    seen(tmp_path, films([]))
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["worst"]


def test_of_a_diverged_network_nothing_is_said_or_drawn(tmp_path):
    nan = torch.full((1, 2), torch.nan)
    state = evaluate(SeesSpots(), [films([(8, 8)])], regions(tmp_path), answer=lambda _: nan)
    assert state.summary == {}
    assert list(tmp_path.rglob("*.png")) == []


def test_a_film_that_could_not_be_read_is_left_out(tmp_path):
    batch = films([(8, 8)], [(16, 4)], problem=["damaged", ""])
    assert seen(tmp_path, batch)["n"] == 1
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["id1.png"]


def test_the_summary_is_that_of_the_metrics(tmp_path, monkeypatch):
    given = {}

    def remember(ours, **more):
        given.update(more, ours=ours)
        return decision_region_summary(ours, **more)

    monkeypatch.setattr("monai_kd.handlers.decision_regions.decision_region_summary", remember)
    result = seen(tmp_path, films([(16, 4)], first=1), films([(8, 8)], first=0))
    assert given["patient_id"] == ["patient0", "patient1"]  # in the order of the section
    assert given["ours"].iou.shape == (2, 19)
    assert result["n"] == 2
