# SPDX-License-Identifier: Apache-2.0
"""The films with the highest loss: which, in which order, drawn how, and without any id."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from monai_kd.handlers.worst_cases import WorstCases, film_losses
from tests.handlers.small_evaluation import FINDINGS, SeesSpots, evaluate, films

OUTLINE = (64, 224, 208)


def worst(folder, batches, *, answer=None, activation="softmax", **more):
    handler = WorstCases(
        SeesSpots(), folder, findings=FINDINGS, activation=activation, mean=0, sd=1, **more
    )
    state = evaluate(SeesSpots(), batches, handler, answer=answer, activation=activation)
    return state.summary.get("worst_cases")


def pictures(folder):
    return sorted(path.name for path in (folder / "pictures" / "worst").glob("*"))


def test_losses_are_torchs_own():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    label = torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    softmax = film_losses(logits.softmax(1), label, "softmax").sum(1)
    expected = F.cross_entropy(logits, label, reduction="none")
    torch.testing.assert_close(softmax.float(), expected)
    sigmoid = film_losses(logits.sigmoid(), label, "sigmoid")
    expected = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    torch.testing.assert_close(sigmoid.float(), expected)


def test_an_unknown_label_has_no_loss():
    prob, label = torch.tensor([[0.7, 0.3]]), torch.tensor([[math.nan, 1.0]])
    assert film_losses(prob, label, "softmax").isnan().all()
    assert film_losses(prob, label, "sigmoid").isnan().tolist() == [[True, False]]


def random_films(count=40, each=6):
    random = np.random.default_rng(0)
    chance = torch.tensor(random.uniform(0.01, 0.99, count)).float()
    batches = [
        films(*[[(8, 8)]] * min(each, count - first), first=first)
        for first in range(0, count, each)
    ]

    def answer(batch):
        return torch.stack([torch.zeros(len(batch["index"])), chance[batch["index"]].logit()], 1)

    return batches, answer, chance.numpy()


def test_they_are_the_ten_with_the_highest_loss_worst_first(tmp_path):
    batches, answer, chance = random_films()
    cases = worst(tmp_path, batches, answer=answer)
    expected = np.sort(-np.log(chance))[::-1][:10]
    assert [case["loss"] for case in cases] == pytest.approx(expected.tolist(), rel=1e-5)
    assert [case["rank"] for case in cases] == list(range(1, 11))
    assert [case["prob"]["spot"] for case in cases] == pytest.approx(np.sort(chance)[:10].tolist())
    assert cases[0]["label"] == {"none": 0, "spot": 1}
    assert pictures(tmp_path) == [f"worst_{rank:02d}.png" for rank in range(1, 11)]
    assert [f"{case['picture']}.png" for case in cases] == pictures(tmp_path)


def test_never_more_films_are_held_than_are_drawn(tmp_path):
    batches, answer, _ = random_films()
    handler = WorstCases(SeesSpots(), tmp_path, findings=FINDINGS, activation="softmax", films=3)
    held = []

    class Watch:
        def attach(self, engine):
            from ignite.engine import Events

            engine.add_event_handler(
                Events.ITERATION_COMPLETED, lambda _: held.append(len(handler._kept))
            )

    evaluate(SeesSpots(), batches, handler, Watch(), answer=answer)
    assert held == [3] * len(batches)


def test_two_processes_give_the_worst_of_both_each_film_once(tmp_path, monkeypatch):
    shares = []
    monkeypatch.setattr(
        "monai_kd.handlers.worst_cases.gather_objects",
        lambda mine: shares.append(list(mine)) or [part for part in shares if part],
    )
    batches, answer, chance = random_films(count=12)
    worst(tmp_path, batches[:1], answer=answer, films=8)  # what the other process has
    even = films(*[[(8, 8)]] * 7, first=5)  # film 5 was given to both
    cases = worst(tmp_path, [even], answer=answer, films=8)
    expected = np.sort(-np.log(chance))[::-1][:8]
    assert [case["loss"] for case in cases] == pytest.approx(expected.tolist(), rel=1e-5)


def test_a_film_that_two_processes_saw_is_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_kd.handlers.worst_cases.gather_objects", lambda mine: [mine, mine])
    assert len(worst(tmp_path, [films([(8, 8)], [(16, 4)])])) == 2


def test_what_is_known_is_told_and_no_id(tmp_path):
    batch = films([(8, 8)], [(8, 8)], first=70)
    batch |= {"sex": ["F", None], "age": [61, math.nan], "view": ["PA", ""]}
    cases = worst(tmp_path, [batch], answer=lambda b: torch.tensor([[3.0, 0], [2, 0]]))
    assert (cases[0]["sex"], cases[0]["age"], cases[0]["view"]) == ("F", 61, "PA")
    assert not {"sex", "age", "view", "site", "id"} & set(cases[1])
    text = json.dumps(cases, allow_nan=False)
    assert "id70" not in text
    assert "patient" not in text


def outlined(folder, rank=1):
    picture = np.asarray(Image.open(folder / "pictures" / "worst" / f"worst_{rank:02d}.png"))
    return bool((picture == OUTLINE).all(-1).any())


@pytest.mark.parametrize(
    ("batch", "answer", "explained", "outline"),
    [
        pytest.param(films([(8, 8)]), [2.0, 0.0], "spot", True, id="missed and drawn"),
        pytest.param(
            films([(8, 8)], drawn=False), [2.0, 0.0], "none", False, id="missed, nobody drew"
        ),
        pytest.param(films([]), [0.0, 2.0], "spot", False, id="seen where nothing is"),
    ],
)
def test_drawn_is_what_was_predicted_or_what_an_expert_drew(
    tmp_path, batch, answer, explained, outline
):
    (case,) = worst(tmp_path, [batch], answer=lambda _: torch.tensor([answer]))
    assert case["explained"] == explained
    assert outlined(tmp_path) == outline


def test_of_findings_of_their_own_the_one_that_costs_most_is_drawn(tmp_path):
    batch = films([(8, 8)], [], label=[1, 0])
    batch["label"] = torch.tensor([[1.0, 1.0], [math.nan, 0.0]])
    answer = torch.tensor([[-4.0, -1.0], [0.0, 3.0]])
    cases = worst(tmp_path, [batch], answer=lambda _: answer, activation="sigmoid")
    losses = [np.log1p(np.exp(3)), (np.log1p(np.exp(4)) + np.log1p(np.exp(1))) / 2]
    assert [case["loss"] for case in cases] == pytest.approx(losses, rel=1e-5)
    assert [case["explained"] for case in cases] == ["spot", "none"]
    assert cases[0]["label"] == {"none": None, "spot": 0}


def test_films_whose_label_is_unknown_are_left_out(tmp_path):
    batch = films([(8, 8)], [(8, 8)])
    batch["label"][0] = math.nan
    answer = torch.tensor([[9.0, 0.0], [1.0, 0.0]])
    (case,) = worst(tmp_path, [batch], answer=lambda _: answer)
    assert case["loss"] == pytest.approx(np.log1p(np.e), rel=1e-5)
    nothing = films([(8, 8)], label=[0])
    nothing["label"][:] = math.nan
    assert worst(tmp_path, [nothing]) is None
    assert pictures(tmp_path) == []  # those of the run before are gone


def test_of_a_diverged_network_there_are_no_worst_films(tmp_path):
    batch, answer = films([(8, 8)], [(8, 8)]), torch.tensor([[math.nan, 0.0], [1.0, 0.0]])
    worst(tmp_path, [batch])
    assert worst(tmp_path, [batch], answer=lambda _: answer) is None
    assert pictures(tmp_path) == []


def test_a_film_that_could_not_be_read_is_left_out(tmp_path):
    batch = films([(8, 8)], [(8, 8)], problem=["", "damaged"])
    assert len(worst(tmp_path, [batch])) == 1


def test_nobody_asked_for_pictures(tmp_path):
    batches, answer, _ = random_films()
    assert not worst(tmp_path, batches, answer=answer, films=0)
    assert pictures(tmp_path) == []
