# SPDX-License-Identifier: Apache-2.0
"""From maps to FROC: by hand on films with spots, and again from the files alone."""

from __future__ import annotations

import csv
import json
import math
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_kd.engines import TeacherPrepareBatch
from monai_kd.handlers import ClassificationMetrics, CollectPredictions, DetectionMetrics
from monai_kd.metrics import Candidates, choose_detection_thresholds, froc_score, json_limits
from monai_kd.networks import MapMemory, build_aals_network
from monai_kd.report.localized import run_candidates
from tests.handlers.small_evaluation import FINDINGS, evaluate, films

HIT, MISSED, GHOST = (8, 8), (None, None, 20, 20), (20, 4, None, None)


class Remembers(nn.Module):
    """Keeps a map for each finding, of cells of 4 pixels: the second is high where it is bright."""

    def forward(self, image):
        bright = 16 * F.avg_pool2d(image, 4) - 8
        self.map_logits = torch.cat([torch.full_like(bright, -9.0), bright], 1)
        return self.map_logits.amax((2, 3))


def detect(folder, batches, *, network=None, **more):
    network = network or Remembers()
    handler = DetectionMetrics(network, folder, FINDINGS, **{"radius": 1} | more)
    return evaluate(network, batches, handler, activation="sigmoid")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def noisy(count, *, first=0):
    """Films with spots and noise, so that peaks are of all heights."""
    rng = np.random.default_rng(first)
    spots = [[tuple(4 * rng.integers(0, 7, 2))] * int(rng.integers(0, 2)) for _ in range(count)]
    batch = films(*spots, first=first)
    generator = torch.Generator().manual_seed(first)
    noise = torch.rand(count, 1, 8, 8, generator=generator).repeat_interleave(4, 2)
    batch["image"] = 0.25 * batch["image"] + 0.75 * noise.repeat_interleave(4, 3)
    return batch


def from_files(folder):
    """Candidates of the spots, from the tables and nothing else."""
    scored = {row["id"]: place for place, row in enumerate(rows(folder / "lesions.csv"))}
    found = rows(folder / "candidates.csv")
    special = {"": -1, "repeat": -2}
    return Candidates(
        np.array([scored[row["id"]] for row in found]),
        np.array([float(row["score"]) for row in found]),
        np.zeros((len(found), 4)),
        np.array([int(special.get(row["lesion"], row["lesion"])) for row in found]),
        np.array([int(row["lesions"]) for row in rows(folder / "lesions.csv")]),
    )


def test_every_spot_is_found_where_it_was_drawn(tmp_path):
    state = detect(tmp_path, [films([HIT], [HIT, (20, 20)]), films([], first=2)], write=True)
    assert state.metrics["val_froc_score"] == state.metrics["val_froc_spot"] == 1
    assert math.isnan(state.metrics["val_froc_none"])
    spot = state.summary["localization"]["spot"]
    assert list(state.summary["localization"]) == ["spot"]
    assert (spot["images"], spot["lesions"], spot["froc_score"]) == (3, 3, 1)
    found = rows(tmp_path / "candidates.csv")
    assert [row["id"] for row in found] == ["id0", "id1", "id1"]
    boxes = [[float(row[side]) for side in ("x_min", "y_min", "x_max", "y_max")] for row in found]
    assert boxes == [[8, 8, 16, 16], [8, 8, 16, 16], [20, 20, 28, 28]]
    assert float(found[0]["score"]) == pytest.approx(1 / (1 + math.exp(-8)), abs=1e-6)


def test_the_numbers_by_hand(tmp_path):
    """All three peaks are equal: 2 of 3 lesions at 1 false positive on 3 films, nothing before."""
    batch = films([HIT, MISSED], [GHOST], [HIT], label=[1, 0, 1])
    assert detect(tmp_path, [batch]).metrics["val_froc_score"] == pytest.approx(1 / 3)
    assert list(tmp_path.iterdir()) == []


def test_the_score_is_that_of_the_files_and_of_froc_score(tmp_path):
    state = detect(tmp_path, [noisy(9), noisy(12, first=9)], write=True)
    found = from_files(tmp_path)
    assert found.images == 21
    assert len(found.score) > 60
    score = state.metrics["val_froc_score"]
    assert score == pytest.approx(froc_score(found, resamples=10).estimate)
    assert 0 < score < 1
    assert state.summary["localization"]["spot"]["froc_score"] == pytest.approx(score)


def test_cells_are_scaled_to_the_pixels_of_an_oblong_image(tmp_path):
    batch = films([])
    batch["image"] = torch.zeros(1, 1, 32, 64)
    batch["image"][0, 0, 8:16, 40:52] = 1
    batch["region_mask"] = torch.zeros(1, 2, 32, 64)
    batch["region_mask"][0, 1, 8:16, 40:52] = 1
    batch["label"] = torch.tensor([[0.0, 1.0]])
    assert detect(tmp_path, [batch], write=True).metrics["val_froc_score"] == 1
    (found,) = rows(tmp_path / "candidates.csv")
    assert [float(found[side]) for side in ("x_min", "x_max", "y_min", "y_max")] == [40, 52, 8, 16]


def test_candidates_on_the_black_border_are_none(tmp_path):
    """The film of 64 x 32 lies in columns 8 to 24 of the square: inference shows nothing beside."""
    path = tmp_path / "operating_points.json"
    batch = films([HIT, (20, 0, None, None), (20, 24, None, None)], [GHOST, (20, 20, None, None)])
    detect(tmp_path / "all", [batch], write=True)
    assert len(rows(tmp_path / "all" / "candidates.csv")) == 5
    batch["stored_size"] = torch.tensor([[64.0, 32.0], [64.0, 32.0]])
    detect(tmp_path, [batch], write=True, thresholds_path=path)
    found = [(row["id"], float(row["x_min"])) for row in rows(tmp_path / "candidates.csv")]
    assert sorted(found) == [("id0", 8), ("id1", 4), ("id1", 20)]  # these two reach into the film


@pytest.mark.parametrize("row", range(6, 14))
@pytest.mark.parametrize("column", [8, 9, 11])
def test_a_lesion_smaller_than_a_cell_is_found_by_the_cell_that_it_lies_in(tmp_path, row, column):
    batch = films([(8, 8, None, None)], label=[1])
    batch["image"][:] = 0
    batch["image"][0, 0, 8:12, 8:12] = 1
    batch["region_mask"][0, 1, row, column] = 1
    state = detect(tmp_path, [batch], write=True)
    if row in range(8, 12):
        assert state.metrics["val_froc_score"] == 1
    if row in (6, 13):
        assert state.metrics["val_froc_score"] == 0
    assert state.summary["localization"]["spot"]["tolerance"] == 2


def test_a_film_without_a_patient_leaves_those_of_the_others(tmp_path):
    """Ten films of one patient and one of nobody known: two patients, not eleven."""
    batch = films(*[[HIT]] * 6, *[[MISSED]] * 5)
    batch["patient_id"] = ["one"] * 10 + [None]
    spot = detect(tmp_path / "a", [batch], write=True).summary["localization"]["spot"]
    batch["patient_id"] = ["one"] * 10 + ["alone"]
    other = detect(tmp_path / "b", [batch], write=True).summary["localization"]["spot"]
    assert spot == other
    batch["patient_id"] = [None] * 11
    alone = detect(tmp_path / "c", [batch], write=True).summary["localization"]["spot"]
    assert spot["froc_score_ci"] != alone["froc_score_ci"]
    found = run_candidates(tmp_path / "a")["spot"]
    assert froc_score(found).estimate == pytest.approx(spot["froc_score"])
    assert json_limits(froc_score(found)) == pytest.approx(spot["froc_score_ci"])


def test_only_films_whose_truth_is_known_are_scored(tmp_path):
    unknown = films([HIT], first=2)
    unknown["label"][:] = math.nan
    unknown["region_mask"][:] = 0
    batches = [
        films([HIT], [], first=0),
        unknown,
        films([HIT], drawn=False, first=3),  # present, and nobody drew
        films([HIT, MISSED], label=[0], first=4),  # drawn though absent
        films([HIT], [HIT], [GHOST], first=5, problem=["", "damaged", "damaged"]),
    ]
    for batch in batches:
        batch.setdefault("problem", [""] * len(batch["image"]))
    detect(tmp_path, batches, write=True)
    assert [row["id"] for row in rows(tmp_path / "lesions.csv")] == ["id0", "id1", "id5"]


def test_a_mask_that_no_expert_drew_holds_no_lesion(tmp_path):
    batch = films([HIT], [HIT], label=[1, 0])
    batch["region_annotated"][1] = False
    detect(tmp_path, [batch], write=True)
    assert [row["lesions"] for row in rows(tmp_path / "lesions.csv")] == ["1", "0"]


def test_without_regions_the_score_is_no_number(tmp_path):
    bare = films([HIT])
    del bare["region_mask"]
    for batches in ([films([HIT], [HIT], drawn=False)], [bare], [films([], [])]):
        state = detect(tmp_path, batches, write=True)
        assert math.isnan(state.metrics["val_froc_score"])
        assert "localization" not in state.summary
        assert list(tmp_path.iterdir()) == []


def test_tables_of_an_earlier_evaluation_go(tmp_path):
    detect(tmp_path, [films([HIT], [])], write=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["candidates.csv", "lesions.csv"]
    detect(tmp_path, [films([HIT], [], drawn=False)])
    assert len(list(tmp_path.iterdir())) == 2  # a validation during training leaves them alone
    detect(tmp_path, [films([HIT], [], drawn=False)], write=True)
    assert list(tmp_path.iterdir()) == []


def test_of_a_diverged_network_nothing_is_said_or_written(tmp_path, caplog):
    class Diverges(Remembers):
        def forward(self, image):
            logits = super().forward(image)
            self.map_logits[0, 1, 2, 2] = torch.nan
            return logits

    path = tmp_path / "operating_points.json"
    state = detect(
        tmp_path,
        [films([HIT], [], [HIT])],
        network=Diverges(),
        write=True,
        thresholds_path=path,
    )
    assert math.isnan(state.metrics["val_froc_score"])
    assert math.isnan(state.metrics["val_froc_spot"])
    assert list(tmp_path.iterdir()) == []
    assert "maps that are not numbers" in caplog.text
    assert "localization" not in state.summary


def test_two_thresholds_per_finding_are_written(tmp_path):
    path = tmp_path / "run" / "operating_points.json"
    detect(tmp_path, [noisy(9), noisy(12, first=9)], write=True, thresholds_path=path, share=0.4)
    points = json.loads(path.read_text())
    assert (points["radius"], points["share"]) == (1, 0.4)
    assert list(points["findings"]) == FINDINGS
    expected = choose_detection_thresholds(from_files(tmp_path)).for_json()
    for name, row in points["findings"]["spot"].items():
        assert row == pytest.approx(expected[name], rel=1e-5)
    assert points["findings"]["spot"]["dotted"]["threshold"] < 0.99
    nothing = {"threshold": None, "fp_per_image": 0, "recall": None}  # no peak in any of its maps
    assert points["findings"]["none"] == {"dotted": nothing, "solid": nothing}


def test_a_finding_of_which_nothing_is_known_has_no_thresholds(tmp_path):
    path = tmp_path / "operating_points.json"
    bare = films([HIT])
    del bare["region_mask"]
    detect(tmp_path, [bare], thresholds_path=path)
    nothing = {"threshold": None, "fp_per_image": None, "recall": None}
    row = {"dotted": nothing, "solid": nothing}
    assert json.loads(path.read_text())["findings"] == {"none": row, "spot": row}


def test_processes_put_their_films_together_and_count_each_once(tmp_path, monkeypatch):
    place = "monai_kd.handlers.detection_metrics.gather_objects"
    one, other = noisy(9), noisy(12, first=9)
    alone = detect(tmp_path / "alone", [one, other], write=True).metrics
    shares = []
    monkeypatch.setattr(place, lambda mine: shares.append(mine) or [mine])
    detect(tmp_path / "share", [one])
    monkeypatch.setattr(place, lambda mine: [mine, shares[0], mine])
    together = detect(tmp_path / "together", [other], write=True).metrics
    assert together["val_froc_score"] == alone["val_froc_score"]
    for name in ("candidates.csv", "lesions.csv"):
        expected = (tmp_path / "alone" / name).read_text()
        assert (tmp_path / "together" / name).read_text() == expected
    monkeypatch.setattr(place, lambda mine: [mine, (shares[0][0], False, 2.0)])
    diverged = detect(tmp_path / "diverged", [other]).metrics
    assert math.isnan(diverged["val_froc_score"])  # in the other process


def test_another_process_than_the_main_one_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_kd.handlers.detection_metrics.is_main_process", lambda: False)
    path = tmp_path / "operating_points.json"
    state = detect(tmp_path, [films([HIT], [])], write=True, thresholds_path=path)
    assert state.metrics["val_froc_score"] == 1
    assert list(tmp_path.iterdir()) == []


def test_the_maps_must_be_those_of_the_batch(tmp_path):
    for kept in (None, torch.zeros(5, 2, 8, 8), torch.zeros(2, 1, 8, 8)):
        handler = DetectionMetrics(types.SimpleNamespace(map_logits=kept), tmp_path, FINDINGS)
        with pytest.raises(ValueError, match=r"`memory` must hold the maps of the batch, \[2, 2\]"):
            evaluate(Remembers(), [films([HIT], [])], handler, activation="sigmoid")


def test_a_supervised_evaluator_with_the_network_itself(tmp_path):
    torch.manual_seed(0)
    memory = MapMemory(build_aals_network("resnet10-w16", num_findings=2, channels=16))
    path = tmp_path / "operating_points.json"
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[films([HIT], [HIT]), films([], [HIT], first=2)],
        network=memory,
        prepare_batch=TeacherPrepareBatch(None),
        decollate=False,
        val_handlers=[
            CollectPredictions(activation="sigmoid"),
            ClassificationMetrics(FINDINGS, activation="sigmoid"),
            DetectionMetrics(memory, tmp_path, FINDINGS, write=True, thresholds_path=path),
        ],
    )
    evaluator.run()
    assert 0 <= evaluator.state.metrics["val_froc_score"] <= 1
    spot = evaluator.state.summary["localization"]["spot"]
    assert spot["froc_score"] == pytest.approx(evaluator.state.metrics["val_froc_score"])
    assert (spot["images"], spot["lesions"]) == (4, 3)
    assert 0 < json.loads(path.read_text())["findings"]["spot"]["solid"]["threshold"] < 1
