# SPDX-License-Identifier: Apache-2.0
"""Which films teach where a finding is, which that it is there, which that it is not."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from monai_kd.data import check_groups, film_groups, findings_without_drawing
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


def test_groups_follow_the_rule_of_the_loss():
    random = np.random.default_rng(0)
    choices = [None, [], [RIB], [ANY], [RIB | {"finding": "clavicle"}]]
    films = [
        film([[0, 1, None][value] for value in random.integers(0, 3, 2)], choices[one])
        for one in random.integers(0, len(choices), 200)
    ]
    for item, group in zip(films, film_groups(films, FINDINGS), strict=True):
        made = RegionsToMaskd(findings=FINDINGS)(item | {"image": torch.zeros(1, 4, 4)})
        roles = map_roles(
            label_to_tensor(item["label"])[None],
            made["region_mask"][None],
            made["region_annotated"][None],
        )
        known = [bool(role.any()) for role in (roles.drawn, roles.pseudo, roles.absent)]
        assert group == (known.index(True) if any(known) else -1)
    assert set(film_groups(films, FINDINGS)) == {-1, 0, 1, 2}


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


def test_findings_that_nobody_drew_are_named_once(caplog):
    films = [DRAWN, NEGATIVE, film([1, 1]), film([0, 1]), film([0, 0], [RIB])]
    with caplog.at_level(logging.WARNING):
        check_groups(films, FINDINGS)
    (record,) = caplog.records
    assert record.getMessage().startswith("Nobody drew clavicle on any film to train on")


def test_no_warning_where_every_finding_is_drawn_or_on_no_film(caplog):
    check_groups([DRAWN, NEGATIVE], FINDINGS)
    assert not caplog.records
    assert findings_without_drawing([DRAWN, NEGATIVE], FINDINGS) == []


def test_a_region_of_a_finding_that_is_absent_draws_nothing():
    films = [film([0, 0], [RIB]), film([1, 0])]
    assert findings_without_drawing(films, FINDINGS) == ["rib"]
