# SPDX-License-Identifier: Apache-2.0
"""Which films teach where a finding is, which that it is there, which that it is not."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from monai_kd.data import check_choosing, check_groups, film_groups, findings_without_drawing
from monai_kd.losses import map_roles
from monai_kd.transforms import RegionsToMaskd, label_to_tensor
from monai_kd.utils import MonaiKDError

FINDINGS = ["rib", "clavicle"]
RIB = {"box": [0, 0, 2, 2], "finding": "rib"}
ANY = {"point": [1, 1], "finding": None}

DRAWN = {"label": [1, 0], "regions": [RIB]}
POSITIVE = {"label": [1, 0], "regions": None}
NEGATIVE = {"label": [0, 0]}
UNKNOWN = {"label": [None, None], "regions": None}


def film(label, regions=None):
    return {"label": label, "regions": regions}


@pytest.mark.parametrize(
    ("item", "group"),
    [
        pytest.param(DRAWN, 0, id="drawn"),
        pytest.param(film([0, 0], [RIB]), 2, id="drawn where the label says absent"),
        pytest.param(film([None, 0], [RIB]), 0, id="drawn, label unknown"),
        pytest.param(film([float("nan"), 0], [RIB]), 0, id="drawn, label NaN"),
        pytest.param(film([0, 1], [ANY]), 0, id="a region of every finding, one is there"),
        pytest.param(film([0, None], [ANY]), 2, id="a region of every finding, none is there"),
        pytest.param(film([None, None], [ANY]), -1, id="a region of every finding, none known"),
        pytest.param(film([1, None], []), 1, id="one labeled, an expert drew nothing"),
        pytest.param(film([1, 1], [RIB]), 0, id="one drawn, one only labeled"),
        pytest.param(POSITIVE, 1, id="labeled"),
        pytest.param(film([0, 1], [RIB]), 1, id="only an absent one is drawn"),
        pytest.param(film([1, 0], []), 1, id="labeled, an expert drew nothing"),
        pytest.param(NEGATIVE, 2, id="absent"),
        pytest.param(film([None, 0]), 2, id="one absent, one unknown"),
        pytest.param(film([None, None], []), 2, id="looked, found nothing"),
        pytest.param(UNKNOWN, -1, id="nothing known"),
        pytest.param(POSITIVE | {"hidden_regions": [RIB]}, 1, id="hidden regions are not seen"),
    ],
)
def test_the_best_that_is_known_of_a_film_decides(item, group):
    assert film_groups([item], FINDINGS) == [group]


def group_of_the_loss(item):
    made = RegionsToMaskd(findings=FINDINGS)(item | {"image": torch.zeros(1, 4, 4)})
    roles = map_roles(
        label_to_tensor(item["label"])[None],
        made["region_drawn"][None],
        made["region_annotated"][None],
    )
    known = [bool(role.any()) for role in (roles.drawn, roles.pseudo, roles.absent)]
    return known.index(True) if any(known) else -1


def test_groups_follow_the_rule_of_the_loss():
    random = np.random.default_rng(0)
    choices = [None, [], [RIB], [ANY], [RIB | {"finding": "clavicle"}]]
    films = [
        film([[0, 1, None][value] for value in random.integers(0, 3, 2)], choices[one])
        for one in random.integers(0, len(choices), 200)
    ]
    groups = film_groups(films, FINDINGS)
    assert [group_of_the_loss(item) for item in films] == groups
    assert set(groups) == {-1, 0, 1, 2}


@pytest.mark.parametrize("label", [[None, None], [0, None]])
def test_a_nameless_region_says_nothing_of_findings_whose_label_is_unknown(label):
    item = film(label, [ANY])
    made = RegionsToMaskd(findings=FINDINGS)(item | {"image": torch.zeros(1, 4, 4)})
    given = (label_to_tensor(label), made["region_drawn"], made["region_annotated"])
    roles = map_roles(*(tensor[None] for tensor in given))
    assert roles.absent.tolist() == [[value == 0 for value in label]]
    assert film_groups([item], FINDINGS) == [group_of_the_loss(item)]


def test_films_are_counted_by_kind():
    films = [DRAWN, POSITIVE, POSITIVE, *[NEGATIVE] * 3, *[UNKNOWN] * 4]
    counts = check_groups(films, FINDINGS, needs=("drawn", "positive", "negative"))
    assert counts == {"drawn": 1, "positive": 2, "negative": 3, "unknown": 4}


@pytest.mark.parametrize(
    ("films", "needs", "message"),
    [
        ([POSITIVE, NEGATIVE], ["drawn", "negative"], "expert drew a finding, got none on 2 films"),
        ([DRAWN, NEGATIVE], ["drawn", "positive"], "a finding that nobody drew, got none on 2"),
        ([DRAWN], ["drawn", "negative"], r"films without a finding \(label 0\), got none on 1"),
        ([], ["negative", "drawn"], "must hold films on which an expert drew .* none on 0 films"),
    ],
)
def test_a_training_that_lacks_a_kind_of_film_is_refused(films, needs, message):
    films = [item | {"image": "DOE.png"} for item in films]
    with pytest.raises(MonaiKDError, match=message) as raised:
        check_groups(films, FINDINGS, needs=needs)
    assert "DOE" not in str(raised.value)


def test_a_kind_that_is_not_needed_may_be_missing():
    assert check_groups([DRAWN, NEGATIVE], FINDINGS)["positive"] == 0


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="`needs` must be one of drawn, positive, negative, got"):
        check_groups([DRAWN], FINDINGS, needs=["draw"])


@pytest.mark.parametrize(
    ("needs", "ratio", "message"),
    [
        (
            ["drawn", "negative"],
            [0, 1, 2],
            r"those of drawn, negative films above 0, got \[0, 1",
        ),
        (["drawn", "negative"], [1, 1, 0], r"above 0, got \[1, 1, 0\]"),
        (
            ["drawn", "positive"],
            [1, 0, 2],
            r"those of drawn, positive films above 0, got \[1, 0",
        ),
        (
            ["drawn"],
            [1, 1],
            r"`ratio` must be three whole numbers, .* got \[1, 1\]\. On the",
        ),
        (["drawn"], "1,1,2", r"got '1,1,2'. On the command line: --ratio \"\[1,1,2\]\""),
        (["drawn"], "112", "`ratio` must be three whole numbers, .* got '112'"),
    ],
)
def test_a_ratio_that_leaves_out_what_is_needed_is_refused(needs, ratio, message):
    with pytest.raises(ValueError, match=message):
        check_groups([DRAWN, POSITIVE, NEGATIVE], FINDINGS, needs=needs, ratio=ratio)


def test_a_ratio_may_leave_out_what_is_not_needed():
    counts = check_groups([DRAWN, NEGATIVE], FINDINGS, ratio=[1, 0, 2])
    assert (counts["drawn"], counts["positive"]) == (1, 0)


def test_an_epoch_that_no_film_can_tell_from_another_is_refused():
    one_kind = [film([1, 0]), film([1, None]), film([1, 0], [RIB])]
    message = "validation must hold films with and without a finding, got 3 films of one kind"
    with pytest.raises(MonaiKDError, match=message):
        check_choosing(one_kind, FINDINGS, "auroc")
    with pytest.raises(MonaiKDError, match="got 0 films of one kind"):
        check_choosing([], FINDINGS, "auroc")
    check_choosing([*one_kind, film([None, 1])], FINDINGS, "auroc")
    undrawn = [film([1, 0]), film([1, 0], []), film([0, 0], [RIB])]
    message = "a finding is drawn while `choose_by` is froc, got none on 3 films.* choose by auroc"
    with pytest.raises(MonaiKDError, match=message):
        check_choosing(undrawn, FINDINGS, "froc")
    check_choosing([*undrawn, DRAWN], FINDINGS, "froc")


def test_findings_that_nobody_drew_are_named_once(caplog):
    films = [DRAWN, NEGATIVE, film([1, 1]), film([0, 1]), film([0, 0])]
    with caplog.at_level(logging.WARNING):
        check_groups(films, FINDINGS)
    (record,) = caplog.records
    assert record.getMessage().startswith("Nobody drew clavicle on any film to train on")


def test_regions_of_absent_findings_are_counted_in_one_warning(caplog):
    contradicted = [film([0, 0], [RIB, RIB]), film([0, None], [RIB, ANY])]
    agreeing = [film([None, 0], [RIB]), film([0, 0], [ANY]), film([0, 0], []), DRAWN]
    with caplog.at_level(logging.WARNING):
        check_groups([*contradicted, *agreeing], FINDINGS)
    (record,) = caplog.records
    message = "2 films have a region of a finding that their label calls absent: the label is bel"
    assert record.getMessage().startswith(message)


def test_no_warning_where_every_finding_is_drawn_or_on_no_film(caplog):
    check_groups([DRAWN, NEGATIVE], FINDINGS)
    assert not caplog.records
    assert findings_without_drawing([DRAWN, NEGATIVE], FINDINGS) == []


def test_a_region_of_a_finding_that_is_absent_draws_nothing():
    films = [film([0, 0], [RIB]), film([1, 0])]
    assert findings_without_drawing(films, FINDINGS) == ["rib"]
