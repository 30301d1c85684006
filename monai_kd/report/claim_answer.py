# SPDX-License-Identifier: Apache-2.0
"""An answer of the checklist, and the few forms it takes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Answer", "known", "not_known", "partly"]


class Answer(NamedTuple):
    """What the run says, and whether that is all that was asked."""

    text: str
    state: str


def known(text: str) -> Answer:
    """Return an answer to the whole question.

    Args:
        text: a sentence or two.
    """
    return Answer(text, "known")


def partly(text: str) -> Answer:
    """Return an answer to a part of the question; the text says what is missing.

    Args:
        text: a sentence or two.
    """
    return Answer(text, "partly")


def not_known() -> Answer:
    """Return that the run cannot tell."""
    return Answer("not known", "not known")
