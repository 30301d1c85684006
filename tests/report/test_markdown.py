# SPDX-License-Identifier: Apache-2.0
"""Cells that hold, numbers that say when there is none."""

from __future__ import annotations

import math

import pytest

from monai_kd.report.markdown import cell, number, span, table, with_ci


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a | b", "a \\| b"),
        ("a\n\n# b", "a # b"),
        ("<script>", "&lt;script>"),
        ("[x](y) *z* _u_ `v`", "\\[x\\](y) \\*z\\* \\_u\\_ \\`v\\`"),
        ("\\|", "\\\\\\|"),
        (3, "3"),
    ],
)
def test_no_text_breaks_out_of_its_cell(text, safe):
    assert cell(text) == safe


def test_a_table_has_as_many_bars_in_every_line():
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_numbers_that_are_none_are_dashes():
    dash = "\N{EN DASH}"
    assert [number(value) for value in (None, math.nan, "x", 0.12345)] == [dash] * 3 + ["0.123"]
    assert span(None) == span([0.1, None]) == dash
    assert with_ci(0.5, None) == "0.500"
    assert with_ci(0.5, [0.4, 0.6], 2) == "0.50 (0.40 to 0.60)"
