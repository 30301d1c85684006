# SPDX-License-Identifier: Apache-2.0
"""What commands share: whole options only, and tables whose columns stand below each other."""

from __future__ import annotations

import argparse

from monai_kd.cli.frame import add_command, aligned


def parser(**kwargs):
    subparsers = argparse.ArgumentParser().add_subparsers()
    return add_command(subparsers, "try", **{"description": "Say it.", **kwargs})


def test_an_option_is_never_abbreviated():
    one = parser()
    one.add_argument("--output")
    assert one.parse_known_args(["--outp", "x"]) == (
        argparse.Namespace(output=None),
        ["--outp", "x"],
    )


def test_the_description_is_wrapped_and_the_example_stands_as_it_is():
    text = parser(description="word " * 40, example="example:\n  a   b").format_help()
    assert max(map(len, text.splitlines())) < 80
    assert "example:\n  a   b" in text


def test_columns_stand_below_each_other():
    rows = [["", "films"], ["a score", "7"], ["b", "70"]]
    assert aligned(rows, left=1) == "         films\na score      7\nb           70\n"
    assert aligned(rows).splitlines()[2] == "      b     70"
