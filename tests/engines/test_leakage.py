# SPDX-License-Identifier: Apache-2.0
"""A teacher that reads the marking is told from one that reads the lesion."""

import json
import math

import pytest
import torch
from torch import nn

from monai_kd.engines import check_region_leakage, leakage, shuffle_regions_within_class


def film(finding, row):
    """Label 0: region of one pixel, label 1: of two. The lesion's value stands inside."""
    mask = torch.zeros(2, 4, 4)
    mask[finding, row, : finding + 1] = 1
    image = torch.full((1, 4, 4), 0.5)
    image[0, row, : finding + 1] = 0.9 if finding else 0.1
    return {"image": image, "region_mask": mask, "label": torch.eye(2)[finding]}


def films():
    return [film(finding, row) for finding in (0, 1) for row in range(4)]


class ReadsTheLesion(nn.Module):
    """Bright inside the region: finding 1."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, image):
        shown = image.flatten(1)
        value = shown.amax(1)
        return torch.stack([0.8 - value, value - 0.8], dim=1)


class ReadsTheMarking(ReadsTheLesion):
    """More than one pixel shown: finding 1."""

    def forward(self, image):
        shown = (image.flatten(1) > 0).float().sum(1)
        return torch.stack([1.5 - shown, shown - 1.5], dim=1)


def make_region_image(item):
    return item | {"region_image": item["image"] * item["region_mask"].amax(0, keepdim=True)}


def check(teacher, tmp_path, items=None, activation="softmax"):
    return check_region_leakage(
        teacher,
        films() if items is None else items,
        activation=activation,
        make_region_image=make_region_image,
        normalize=lambda item: item,
        folder=tmp_path,
    )


def scores(result):
    return [result[key] for key in ("accuracy", "shuffled_region_accuracy", "most_frequent", "n")]


def with_label(item, *values):
    return item | {"label": torch.tensor(values)}


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_teacher_that_reads_the_lesion_gets_worse(tmp_path, activation):
    result = check(ReadsTheLesion(), tmp_path, activation=activation)
    assert scores(result) == [1.0, 0.5, 0.5, 8]
    assert json.loads((tmp_path / "leakage.json").read_text()) == result


def test_a_teacher_that_reads_the_marking_stays_as_good(tmp_path):
    assert scores(check(ReadsTheMarking(), tmp_path)) == [1.0, 1.0, 0.5, 8]


def test_independent_findings_with_unknown_labels_are_exchanged_and_scored(tmp_path):
    items = [with_label(item, math.nan, float(item["label"][1])) for item in films()]
    result = check(ReadsTheLesion(), tmp_path, items, "sigmoid")
    assert scores(result) == [1.0, 0.5, 0.5, 8]


def test_independent_findings_that_look_exclusive_are_scored_each_on_its_own(tmp_path):
    class SaysBoth(ReadsTheLesion):
        def forward(self, image):
            return torch.tensor([[1.0, 2.0]]).expand(len(image), 2)

    items = films()[4:]  # all have finding 1 alone: softmax would be right each time
    assert check(SaysBoth(), tmp_path, items, "sigmoid")["accuracy"] == 0.5


def test_one_finding_per_film_leaves_out_films_with_unknown_labels(tmp_path):
    unknown = [with_label(item, math.nan, math.nan) for item in films()]
    result = check(ReadsTheLesion(), tmp_path, [*unknown, *films()])
    assert scores(result) == [1.0, 0.5, 0.5, 8]


def test_without_an_exchange_there_is_no_verdict(tmp_path, caplog):
    result = check(ReadsTheLesion(), tmp_path, films()[3:5])  # one film of each class
    assert scores(result) == [1.0, None, 0.5, 0]
    assert json.loads((tmp_path / "leakage.json").read_text()) == result
    assert "could not be checked" in caplog.text


def test_without_a_known_label_there_is_no_number(tmp_path):
    items = [with_label(item, math.nan, math.nan) for item in films()]
    assert scores(check(ReadsTheLesion(), tmp_path / "a", items)) == [None, None, None, 0]
    unknown = check(ReadsTheLesion(), tmp_path / "b", items, "sigmoid")
    assert scores(unknown) == [None, None, None, 8]


def test_the_activation_is_one_of_two(tmp_path):
    with pytest.raises(ValueError, match="`activation` must be"):
        check(ReadsTheLesion(), tmp_path, activation="relu")


class Counted(list):
    asked = 0

    def __getitem__(self, index):
        self.asked += 1
        return super().__getitem__(index)


def test_the_same_teacher_is_checked_once(tmp_path):
    first = check(ReadsTheLesion(), tmp_path)
    items = Counted(films())
    assert check(ReadsTheLesion(), tmp_path, items) == first
    assert items.asked == 0
    other = ReadsTheLesion()
    nn.init.ones_(other.unused)
    assert check(other, tmp_path, items)["teacher_sha256"] != first["teacher_sha256"]
    assert items.asked > 0


def test_a_broken_file_is_written_anew(tmp_path):
    (tmp_path / "leakage.json").write_text("[")
    assert scores(check(ReadsTheLesion(), tmp_path)) == [1.0, 0.5, 0.5, 8]


def test_only_the_main_process_works(tmp_path, monkeypatch):
    monkeypatch.setattr(leakage, "is_main_process", lambda: False)
    items = Counted(films())
    assert check(ReadsTheLesion(), tmp_path, items) == {}
    assert items.asked == 0
    assert not (tmp_path / "leakage.json").exists()


def test_the_teacher_sees_a_chunk_at_a_time_and_each_film_once_per_question(tmp_path):
    batches = []

    class Watched(ReadsTheLesion):
        def forward(self, image):
            batches.append((len(image), self.training))
            return super().forward(image)

    teacher = Watched()
    assert check(teacher, tmp_path, films() * 5)["n"] == 40
    assert batches == [(32, False), (8, False)] * 2
    assert teacher.training


@pytest.mark.parametrize("seed", range(5))
def test_regions_stay_in_their_class_and_none_stays_with_its_film(seed):
    labels = [item["label"] for item in films()]
    givers = shuffle_regions_within_class(labels, has_regions=[True] * 8, seed=seed)
    assert sorted(givers) == list(range(8))
    for taker, giver in enumerate(givers):
        assert giver != taker
        assert torch.equal(labels[taker], labels[giver])


def test_unknown_findings_are_a_class_of_their_own():
    labels = [torch.tensor(row) for row in ([1, math.nan], [1, 0.0], [1, math.nan], [1, 0.0])]
    assert shuffle_regions_within_class(labels, has_regions=[True] * 4, seed=0) == [2, 3, 0, 1]


def test_films_without_regions_or_without_a_partner_keep_what_they_have():
    labels = [torch.eye(2)[finding] for finding in (0, 0, 1, 0)]
    marked = [True, False, True, True]
    assert shuffle_regions_within_class(labels, has_regions=marked, seed=0) == [3, 1, 2, 0]
