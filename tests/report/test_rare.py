# SPDX-License-Identifier: Apache-2.0
"""Rare values are pooled: nobody is told by the only film of a site."""

from __future__ import annotations

from monai_kd.report.rare import pooled_counts, pooled_text


def test_values_of_fewer_than_ten_films_are_counted_together():
    values = ["lateral"] * 10 + ["frontal"] * 12 + ["oblique"] * 9 + ["swimmer's"] + [""] * 30
    assert list(pooled_counts(values).items()) == [("frontal", 12), ("lateral", 10), ("other", 10)]


def test_nothing_is_called_other_when_nothing_is_rare():
    assert pooled_counts({"AP": 11, "PA": 30}) == {"PA": 30, "AP": 11}
    assert pooled_counts(["AP"], smallest=1) == {"AP": 1}
    assert pooled_counts([]) == {}


def test_a_value_that_is_called_other_is_pooled_with_the_rare_ones():
    assert pooled_counts({"other": 40, "PA": 20, "AP": 2}) == {"PA": 20, "other": 42}


def test_counts_that_were_given_are_not_changed():
    counts = {"": 3, "PA": 20}
    pooled_counts(counts)
    assert counts == {"": 3, "PA": 20}


def test_words_name_the_first_and_count_the_others():
    sites = {f"site {number}": 100 - number for number in range(10)} | {"small": 1}
    text = pooled_text(sites, most=2)
    assert text == f"site 0 (100 films), site 1 (99 films), other ({sum(range(91, 99)) + 1} films)"
    assert pooled_text(["PA"] * 10 + ["AP"]) == "PA (10 films), other (1 film)"
    assert pooled_text(["", ""]) == ""
