# SPDX-License-Identifier: Apache-2.0
"""A method that learns from what experts drew needs films on which somebody drew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from monai_kd.utils import MonaiKDError

__all__ = ["refuse_unmarked"]


def refuse_unmarked(items: Iterable[Mapping[str, Any]], *, section: str) -> None:
    """Stop a training whose teacher would see nothing that an expert has drawn.

    Args:
        items: films of the section, with ``regions``; a ``lung_mask`` counts as drawn.
        section: its name, for the message.

    Raises:
        MonaiKDError: if there are films, and no region on any of them.
    """
    films = list(items)
    if films and not any(item.get("regions") or item.get("lung_mask") for item in films):
        raise MonaiKDError(
            f"refuse_unmarked: films of `section` {section} must have regions for hkd, got none "
            f"on {len(films)} films. Build the datalist with --regions, or train with `method` "
            "baseline or self_distillation."
        )
