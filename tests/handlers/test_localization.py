# SPDX-License-Identifier: Apache-2.0
"""From heat maps to FROC: by hand on films with spots, and again from the files alone."""

from __future__ import annotations

import csv
import json
import math
import pickle

import numpy as np
import pytest
import torch
from ignite.engine import Events

from monai_kd.explain import explain
from monai_kd.handlers import Localization, lesion_boxes
from monai_kd.metrics import Candidates, froc_score
from tests.handlers.small_evaluation import FINDINGS, SeesSpots, evaluate, films


def localize(folder, batches, **more):
    handler = Localization(
        SeesSpots(), folder, FINDINGS, activation="softmax", radius_share=1 / 8, **more
    )
    return evaluate(SeesSpots(), batches, handler).summary.get("localization")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


HIT, MISSED, GHOST = (8, 8), (None, None, 20, 20), (20, 4, None, None)


def test_every_spot_is_found_where_it_was_drawn(tmp_path):
    result = localize(tmp_path, [films([HIT], [HIT, (20, 20)]), films([], first=2)])
    assert list(result) == ["spot"]  # nobody draws "none"
    spot = result["spot"]
    assert (spot["images"], spot["lesions"], spot["rule"]) == (3, 3, "center")
    assert spot["fp_per_image"] == [0.1, 0.2, 0.5, 1.0]
    assert spot["recall"] == [1, 1, 1, 1]
    assert (spot["froc_score"], spot["wafroc"]) == (1, 1)
    assert spot["average_precision"] > 0.9
    assert spot["curve"]["recall"][-1] == 1
    json.dumps(result, allow_nan=False)


def test_the_numbers_by_hand(tmp_path):
    """Two films with spots missed or misplaced; the score of a peak is the probability of its film.

    Film 0: lesions at a spot and at none. Film 1: absent, with a ghost. Film 2: a lesion at a spot.
    Film 0 and 2 (one spot each) have the same probability as film 1.
    """
    batch = films([HIT, MISSED], [GHOST], [HIT], label=[1, 0, 1])
    spot = localize(tmp_path, [batch])["spot"]
    assert (spot["images"], spot["lesions"]) == (3, 3)
    # All three peaks are equal: 2 of 3 lesions at 1 false positive on 3 films, nothing before.
    assert spot["recall"] == pytest.approx([0, 0, 2 / 3, 2 / 3])
    assert spot["froc_score"] == pytest.approx(1 / 3)
    assert spot["curve"]["fp_per_image"] == pytest.approx([0, 1 / 3])
    # Film 1 is the only one without a lesion; its ghost is as high as the hits (1/2 each).
    assert spot["wafroc"] == pytest.approx(((1 / 2) / 2 + 1 / 2) / 2)


def test_only_films_whose_truth_is_known_are_scored(tmp_path):
    unknown = films([HIT], first=2)
    unknown["label"][:] = math.nan
    unknown["region_mask"][:] = 0
    batches = [
        films([HIT], [], first=0),
        unknown,
        films([HIT], drawn=False, first=3),  # present, and nobody drew
        films([HIT, MISSED], label=[0], first=4),  # drawn though absent
        films([(8, 8, None, None)], label=[1], first=5),  # drawn, but not this finding
    ]
    assert localize(tmp_path, batches)["spot"]["images"] == 2
    assert [row["id"] for row in rows(tmp_path / "lesions.csv")] == ["id0", "id1"]


def test_without_regions_there_is_nothing_to_say(tmp_path):
    assert localize(tmp_path, [films([HIT], [HIT], drawn=False)]) is None
    bare = films([HIT])
    del bare["region_mask"]
    assert localize(tmp_path, [bare]) is None
    assert list(tmp_path.iterdir()) == []


def test_tables_of_an_earlier_evaluation_go(tmp_path):
    localize(tmp_path, [films([HIT], [])])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["candidates.csv", "lesions.csv"]
    assert localize(tmp_path, [films([HIT], [], drawn=False)]) is None
    assert list(tmp_path.iterdir()) == []


def test_of_a_diverged_network_nothing_is_said_or_written(tmp_path):
    handler = Localization(SeesSpots(), tmp_path, FINDINGS, activation="softmax")
    nan = torch.full((2, 2), torch.nan)
    state = evaluate(SeesSpots(), [films([HIT], [])], handler, answer=lambda _: nan)
    assert state.summary == {}
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_could_not_be_read_is_left_out(tmp_path):
    batch = films([HIT], [HIT], [], problem=["", "damaged", ""])
    spot = localize(tmp_path, [batch])["spot"]
    assert (spot["images"], spot["lesions"]) == (2, 1)


def asked(monkeypatch):
    """Record the findings whose maps are made, one list per film."""
    columns = []

    def remember(network, image, *, finding, method):
        columns.extend(finding.tolist())
        return explain(network, image, finding=finding, method=method)

    monkeypatch.setattr("monai_kd.handlers.localization.explain", remember)
    return columns


def test_no_map_is_made_of_a_finding_that_nobody_drew(tmp_path, monkeypatch):
    batches = [films([HIT, (20, 20)], [GHOST], label=[1, 0]), films([(4, 16), GHOST], [], first=2)]
    columns = asked(monkeypatch)
    every = localize(tmp_path / "every", batches)
    assert [1, 0] not in columns
    assert [0, 1] in columns  # "none" is absent from a film, and might be drawn on the next
    columns.clear()
    assert localize(tmp_path / "drawn", batches, drawn=["spot"]) == every
    assert columns == [[1]] * 4
    for name in ("candidates.csv", "lesions.csv"):
        assert (tmp_path / "drawn" / name).read_text() == (tmp_path / "every" / name).read_text()
    columns.clear()
    assert localize(tmp_path, batches, drawn=[]) is None
    assert columns == []


def test_a_film_takes_little_memory(tmp_path):
    heat = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    handler = Localization(SeesSpots(), tmp_path, FINDINGS, activation="softmax", drawn=["spot"])
    kept = []
    handler._heat = lambda *_: heat
    engine_films = films([])
    evaluate(SeesSpots(), [engine_films], handler, Keep(handler, kept))
    (film,) = kept
    assert len(film.score) == 20
    assert len(pickle.dumps(film)) < 1200


class Keep:
    """Look at what a handler holds before it is done."""

    def __init__(self, handler, kept):
        self.handler, self.kept = handler, kept

    def attach(self, engine):
        engine.add_event_handler(
            Events.ITERATION_COMPLETED, lambda _: self.kept.extend(self.handler._films)
        )


def test_the_files_say_it_all_again(tmp_path):
    batches = [films([HIT, (20, 20)], [GHOST], label=[1, 0]), films([(4, 16), GHOST], first=2)]
    spot = localize(tmp_path, batches)["spot"]
    scored, found = rows(tmp_path / "lesions.csv"), rows(tmp_path / "candidates.csv")
    assert [row["lesions"] for row in scored] == ["2", "0", "1"]
    assert {row["finding"] for row in scored + found} == {"spot"}
    number = {row["id"]: place for place, row in enumerate(scored)}
    lesion = {"": -1, "repeat": -2}
    again = Candidates(
        image=np.array([number[row["id"]] for row in found]),
        score=np.array([float(row["score"]) for row in found]),
        box=np.array(
            [[float(row[n]) for n in ("x_min", "y_min", "x_max", "y_max")] for row in found]
        ),
        lesion=np.array(
            [
                lesion.get(row["lesion"]) if row["lesion"] in lesion else int(row["lesion"])
                for row in found
            ]
        ),
        lesions=np.array([int(row["lesions"]) for row in scored]),
        patient_id=[row["patient_id"] for row in scored],
    )
    assert froc_score(again).estimate == pytest.approx(spot["froc_score"])
    hit = next(row for row in found if row["id"] == "id2" and row["lesion"] == "0")
    middle = [
        (float(hit["x_min"]) + float(hit["x_max"])) / 2,
        (float(hit["y_min"]) + float(hit["y_max"])) / 2,
    ]
    assert middle == pytest.approx([20, 8], abs=1)  # x from column 16, y from row 4


def test_a_second_peak_on_a_lesion_is_a_repeat(tmp_path):
    batch = films([HIT, (20, 8)])
    batch["region_mask"][:, 1, 8:28, 8:16] = 1  # one lesion over both spots
    spot = localize(tmp_path, [batch, films([], first=1)])["spot"]
    assert spot["lesions"] == 1
    assert sorted(row["lesion"] for row in rows(tmp_path / "candidates.csv")) == ["0", "repeat"]


def test_the_rule_is_an_option(tmp_path):
    half_off = films([(8, 8, 14, 8)], [])  # its box meets the lesion by a seventh, not by half
    assert localize(tmp_path, [half_off], rule="iou")["spot"]["recall"] == [0, 0, 0, 0]
    result = localize(tmp_path, [films([HIT], [])], rule="iou")["spot"]
    assert (result["rule"], result["recall"]) == ("iou", [1, 1, 1, 1])
    with pytest.raises(ValueError, match="`rule` must be one of"):
        localize(tmp_path, [half_off], rule="near")


def test_for_the_center_rule_the_peak_counts_not_the_middle_of_its_box(tmp_path):
    batch = films([(8, 0)], [])
    batch["image"][0, 0, 8:16, 8:] = 0.7  # a tail that is more than half as bright, not drawn
    localize(tmp_path, [batch])
    found = rows(tmp_path / "candidates.csv")[0]
    assert (float(found["x_min"]) + float(found["x_max"])) / 2 > 8  # beside the lesion
    assert found["lesion"] == "0"


def test_candidates_are_as_sure_as_the_model(tmp_path):
    localize(tmp_path, [films([HIT], [HIT, (20, 20)])])
    found = rows(tmp_path / "candidates.csv")
    prob = SeesSpots()(films([HIT], [HIT, (20, 20)])["image"]).softmax(1)[:, 1].tolist()
    assert [float(row["score"]) for row in found] == pytest.approx(
        [prob[0], prob[1], prob[1]], rel=1e-4
    )


def test_a_film_that_two_processes_saw_counts_once(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_kd.handlers.localization.gather_objects", lambda mine: [mine, mine])
    assert localize(tmp_path, [films([HIT], [])])["spot"]["images"] == 2


def test_a_second_run_forgets_the_first(tmp_path):
    handler = Localization(SeesSpots(), tmp_path, FINDINGS, activation="softmax")
    evaluate(SeesSpots(), [films([HIT], [])], handler)
    again = evaluate(SeesSpots(), [films([HIT], first=7)], handler)
    assert again.summary["localization"]["spot"]["images"] == 1


def test_lesions_are_the_parts_that_touch():
    mask = torch.zeros(10, 12)
    mask[1:3, 2:5] = mask[3, 5] = 1  # a corner touches
    mask[7:9, 0:2] = 1
    assert lesion_boxes(mask).tolist() == [[2, 1, 6, 4], [0, 7, 2, 9]]
    assert lesion_boxes(torch.zeros(4, 4)).shape == (0, 4)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_radius_that_is_no_share_is_refused(tmp_path, share):
    with pytest.raises(ValueError, match=r"`radius_share` must be in \(0, 1\], got"):
        Localization(SeesSpots(), tmp_path, FINDINGS, activation="softmax", radius_share=share)
