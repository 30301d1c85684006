# SPDX-License-Identifier: Apache-2.0
"""Checks at the border, with messages that say who, what was expected, what was got, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

__all__ = ["MonaiKDError", "as_bool", "check_choice", "check_same_shape", "did_you_mean", "pick"]


class MonaiKDError(Exception):
    """Something a user can mend; the command line prints the message alone, without traceback."""


class TrainingCollapseError(MonaiKDError):
    """A training that has stopped to tell films apart; all processes raise it together."""


def check_same_shape(caller: str, hint: str, **tensors: Tensor) -> None:
    """Raise unless all tensors have the shape of the first.

    Args:
        caller: what the user called, e.g. ``"AALSLoss"``.
        hint: what to do about it, one sentence.
        tensors: the tensors, under the names the user gave them.

    Raises:
        ValueError: at the first tensor of another shape.
    """
    (reference, first), *others = tensors.items()
    for name, tensor in others:
        if tensor.shape != first.shape:
            raise ValueError(
                f"{caller}: `{name}` must have the shape of `{reference}`, {tuple(first.shape)}, "
                f"got {tuple(tensor.shape)}. {hint}"
            )


def check_choice(caller: str, name: str, value: object, choices: Iterable[str]) -> None:
    """Raise unless ``value`` is one of ``choices``.

    Args:
        caller: what the user called.
        name: the parameter.
        value: what the user gave.
        choices: what is allowed.

    Raises:
        ValueError: with the choices and the nearest one.
    """
    allowed = list(choices)
    if value not in allowed:
        raise ValueError(
            f"{caller}: `{name}` must be one of {', '.join(allowed)}, got {value!r}."
            f"{did_you_mean(str(value), allowed)}"
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean `x`?"`` for the nearest known words, or an empty string.

    Args:
        word: what was typed.
        known: what would have been right; up to three that are about equally near are named.

    Example:
        >>> did_you_mean("epohcs", ["kd_epochs", "max_epochs", "batch_size"])
        ' Did you mean `kd_epochs` or `max_epochs`?'
    """
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    score = {one: difflib.SequenceMatcher(None, word, one).ratio() for one in near}
    best = [f"`{one}`" for one in near if score[one] > score[near[0]] - 0.1]
    return f" Did you mean {' or '.join(best)}?" if best else ""


def as_bool(name: str, value: object) -> bool:
    """Return a setting that is true or false, also when it comes as text from a command line.

    Args:
        name: the setting, e.g. ``"resume"``.
        value: ``True``, ``False``, or such a word in any case.

    Raises:
        ValueError: if it is something else, such as 1 or ``"yes"``.
    """
    words = {"true": True, "false": False}
    if str(value).lower() not in words:
        raise ValueError(f"config: `{name}` must be True or False, got {value!r}.")
    return words[str(value).lower()]


def pick(name: str, value: str, table: Mapping[str, T]) -> T:
    """Return the entry of a table that a setting names.

    Args:
        name: the setting, e.g. ``"method"``.
        value: what the user gave.
        table: what there is, by name.

    Raises:
        ValueError: if the table has no such entry, with the choices and the nearest one.
    """
    check_choice("config", name, value, table)
    return table[value]
