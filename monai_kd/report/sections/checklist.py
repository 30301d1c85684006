# SPDX-License-Identifier: Apache-2.0
"""The CLAIM-style checklist as the page shows it: by part, with how much of it is known."""

from __future__ import annotations

from typing import Any

from monai_kd.report.run_files import RunFiles

__all__ = ["checklist"]


def checklist(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any]:
    """Return the items by part of a paper, and how many of them the run answers.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    from monai_kd.report.claim import claim_checklist  # its answers ask these sections

    items = claim_checklist(run)
    parts: dict[str, list[Any]] = {}
    for item in items:
        parts.setdefault(item.part, []).append(item)
    states = [item.state for item in items]
    return {
        "parts": parts,
        "total": len(items),
        "known": states.count("known"),
        "partly": states.count("partly"),
    }
