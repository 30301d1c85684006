# SPDX-License-Identifier: Apache-2.0
"""Whether a baseline's numbers may stand beside a run's: the same findings of the same films."""

from __future__ import annotations

from typing import Any

from monai_kd.metrics import match_predictions
from monai_kd.report.common import main_section
from monai_kd.report.run_files import RunFiles
from monai_kd.utils import MonaiKDError

__all__ = ["why_not_comparable"]


def why_not_comparable(run: RunFiles, baseline: RunFiles) -> str | None:
    """Return why the baseline stays off the page, or None where it may stand on it.

    Args:
        run: the run that the page is about.
        baseline: the run that it is to be compared with.
    """
    ours, theirs = main_section(run.evaluation), main_section(baseline.evaluation)
    if ours is None:
        return "this run has not been evaluated"
    if theirs is None:
        return "the baseline has not been evaluated"
    section, summary = ours
    other = baseline.evaluation["sections"].get(section)
    if not isinstance(other, dict) or not other.get("n"):
        return f"the baseline was not evaluated on the section {section}"
    if summary.get("findings") != other.get("findings"):
        return "the baseline was trained on other findings"
    if summary.get("n") != other.get("n"):
        return "the baseline was evaluated on other films"
    return _other_films(run, baseline)


def _other_films(run: RunFiles, baseline: RunFiles) -> str | None:
    """By the films themselves; without both tables, by the datalist that they came from."""
    if run.predictions is None or baseline.predictions is None:
        datalists = [one.evaluation.get("datalist_sha256") for one in (run, baseline)]
        same: Any = datalists[0] is not None and datalists[0] == datalists[1]
        return None if same else "that both were evaluated on the same films cannot be seen"
    if set(run.predictions.key) != set(baseline.predictions.key):
        return "the baseline was evaluated on other films"
    try:
        match_predictions(run.predictions, baseline.predictions)
    except MonaiKDError:  # the findings and the films are the same by now
        return "the baseline was judged by other labels of the same films"
    return None
