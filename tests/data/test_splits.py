# SPDX-License-Identifier: Apache-2.0
"""What is promised of splits."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from monai_kd.data import SplitSettings, check_sections, split_patients
from monai_kd.data.splits import deal_evenly
from monai_kd.utils import MonaiKDError


def patients(count=300, seed=0):
    """Patients with none, one or several of three findings; the third is rare (4%)."""
    rng = random.Random(seed)
    return {
        f"p{number}": [k for k, share in enumerate((0.4, 0.2, 0.04)) if rng.random() < share]
        for number in range(count)
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_section_gets_its_share_of_patients_and_of_each_finding(seed):
    positives = patients()
    shares = SplitSettings().shares()
    dealt = split_patients(positives, shares, seed=seed)
    sizes = Counter(dealt.values())
    for section, share in shares.items():
        assert sizes[section] == pytest.approx(share * 300, abs=3)
        for finding in (0, 1):
            total = sum(finding in own for own in positives.values())
            here = sum(finding in positives[one] for one, name in dealt.items() if name == section)
            assert here == pytest.approx(share * total, abs=3)


def test_the_rarest_finding_reaches_every_section_that_needs_it():
    positives = {f"p{number}": [0] if number < 3 else [] for number in range(100)}
    dealt = split_patients(positives, SplitSettings(labeled=0.1).shares())
    assert {dealt[f"p{number}"] for number in range(3)} == {"labeled", "validation", "test"}


def test_the_order_of_patients_does_not_matter_but_the_seed_does():
    positives, shares = patients(), SplitSettings().shares()
    backwards = dict(reversed(positives.items()))
    assert split_patients(positives, shares) == split_patients(backwards, shares)
    assert split_patients(positives, shares) != split_patients(positives, shares, seed=1)


# Closed form: of 1, test 0.2 and validation 0.1 are taken; 0.1 of the other 0.7 is labeled.
def test_shares_follow_the_settings():
    shares = SplitSettings().shares()
    assert shares == pytest.approx(
        {"labeled": 0.07, "validation": 0.1, "test": 0.2}
        | {f"unlabeled_{number}": 0.21 for number in (1, 2, 3)}
    )


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"labeled": 1.0}])
def test_without_rounds_or_with_all_labels_nothing_is_unlabeled(settings):
    shares = SplitSettings(**settings).shares()
    assert shares == pytest.approx({"labeled": 0.7, "validation": 0.1, "test": 0.2})


def test_within_a_given_split_only_training_patients_are_dealt():
    shares = SplitSettings(rounds=1).shares(train_only=True)
    assert shares == pytest.approx({"labeled": 0.1, "unlabeled_1": 0.9})


def test_unknown_patients_are_dealt_evenly():
    dealt = deal_evenly([str(number) for number in range(31)], ["unlabeled_1", "unlabeled_2"])
    assert sorted(Counter(dealt.values()).values()) == [15, 16]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 1.0}, r"`test` must be in \[0, 1\), got 1.0"),
        ({"validation": -0.1}, r"`validation` must be in \[0, 1\), got -0.1"),
        ({"test": 0.6, "validation": 0.4}, r"must leave patients to train on, got 0.6 \+ 0.4"),
        ({"labeled": 0.0}, r"`labeled` must be in \(0, 1\], got 0.0"),
        ({"rounds": -1}, "`rounds` must be at least 0, got -1"),
    ],
)
def test_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        SplitSettings(**settings)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ([[0], [0], [None]], "0 positive, 2 negative, 1 unknown"),
        ([[1], [None]], "1 positive, 0 negative, 1 unknown"),
    ],
)
def test_refuses_a_section_that_lacks_one_kind(labels, counts):
    sections = {"test": [{"label": label} for label in labels], "unlabeled_1": [{"label": [None]}]}
    with pytest.raises(MonaiKDError, match=f"section `test`, `opacity`: {counts} images"):
        check_sections(sections, ["opacity"])


def test_unlabeled_sections_need_no_positives():
    whole = [{"label": [1]}, {"label": [0]}]
    check_sections({"labeled": whole, "unlabeled_1": [{"label": [None]}]}, ["opacity"])
