# SPDX-License-Identifier: Apache-2.0
"""What the student was taught on films that nobody drew: the curves of ``health.csv``, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_kd.metrics import read_health
from monai_kd.report.common import data_uri, is_number
from monai_kd.report.pseudo_label_plots import CURVES, columns_of, pseudo_labels_png
from monai_kd.report.run_files import RunFiles

__all__ = ["pseudo_labels"]

_READ = {
    "above_center": "Of the films that have the finding and that nobody drew, the share on which "
    "the teacher's peak is above the center{center}. {above} A curve that rises shows a teacher "
    "that dares more.",
    "peak": "How sure the teacher is at its surest place of such a film, on average. The dashed "
    "line is the center.",
    "sharpened_mass": "How much sharpening adds or, below 0, takes, as a share of what the teacher "
    "gave. It should fall as the teacher becomes sure; at 0 teacher and pseudo label are the same.",
    "precision": "Of what the pseudo labels call the finding, the share inside regions that an "
    "expert drew and training does not see. Low values teach the student wrong places.",
    "distillation_share": "The part of the loss that comes from pseudo labels. Near 1, what "
    "experts drew hardly counts any more.",
}
_ABOVE = {
    True: "Only these are sharpened: near 0 the method does nothing.",
    False: "Near 0, the teacher sees the finding on none of them.",
}
_LAST_LOOKS = 3


def pseudo_labels(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return the curves, how each is read, where it ends, and what is wrong, if anything is.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    path = run.folder / "health.csv"
    phases = read_health(path) if path.is_file() else {}
    told = [one for one in phases.values() if _known(one.get("pseudo_maps", []))]
    if not told:
        return None
    columns = told[-1]
    center = run.config.get("center")
    words = {
        "center": f" ({center:g})" if is_number(center) else "",
        "above": _ABOVE[run.config.get("method") in ("aals", "constant")],
    }
    curves = [
        {
            "title": title,
            "read": _READ[name].format(**words),
            "ends": _ends(columns_of(columns, name)),
        }
        for name, title in CURVES.items()
    ]
    picture = pseudo_labels_png(columns, center=center if is_number(center) else None)
    return {
        "plot": data_uri(picture),
        "curves": [curve for curve in curves if curve["ends"]],
        "maps": round(sum(_known(columns["pseudo_maps"]))),
        "last": int(max(columns["iteration"])),
        "silent": [
            name
            for name, shares in columns_of(columns, "above_center").items()
            if _known(shares) and not any(_known(shares)[-_LAST_LOOKS:])
        ],
        "hidden_known": bool(_ends(columns_of(columns, "precision"))),
    }


def _ends(columns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The last value that is known, by finding."""
    return {name: _known(values)[-1] for name, values in columns.items() if _known(values)}


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if is_number(value)]
