# SPDX-License-Identifier: Apache-2.0
"""A checklist in the manner of CLAIM, filled in from a run as far as the run can tell.

Source of the topics and their numbers: Tejani, Klontzas, Gatti, Mongan, Moy, Park, Kahn,
"Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update", Radiology:
Artificial Intelligence 6(4), 2024, https://doi.org/10.1148/ryai.240300. The wording is ours and
shorter; before a paper is handed in, fill in the original.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from monai_kd.report import (
    claim_data,
    claim_evaluation,
    claim_model,
    claim_partitions,
    claim_results,
)
from monai_kd.report.claim_answer import Answer, not_known
from monai_kd.report.markdown import cell, table
from monai_kd.report.run_files import RunFiles, read_run
from monai_kd.utils import write_text_atomically

__all__ = ["ClaimItem", "claim_checklist", "write_claim_checklist"]

_log = logging.getLogger(__name__)


class ClaimItem(NamedTuple):
    """One line of the checklist; ``state`` is ``"known"``, ``"partly"`` or ``"not known"``."""

    number: int
    item: str
    answer: str
    state: str
    part: str


def _never(run: RunFiles) -> Answer:
    """What no run directory can tell: it stands in the paper or nowhere."""
    return not_known()


_ITEMS: dict[str, list[tuple[str, Callable[[RunFiles], Answer]]]] = {
    "Title and abstract": [
        ("Title or abstract says that it is a study of AI, and of which kind", claim_data.kind),
        ("Structured abstract: design, methods, results, conclusions", _never),
    ],
    "Introduction": [
        ("Background: the clinical problem, and what part the AI is meant to play", _never),
        ("Aims and hypotheses", _never),
    ],
    "Study design": [
        ("Prospective or retrospective", claim_data.design),
        ("What the study is for", claim_data.goal),
    ],
    "Data": [
        ("Where the data come from", claim_data.sources),
        ("Who was included, who excluded", _never),
        ("How images were prepared", claim_data.preparation),
        ("Choice of parts of the data, if any", claim_data.subsets),
        ("How identities were removed", claim_data.identities),
        ("What was done where data are missing", claim_data.missing),
        ("How the images were acquired", claim_data.acquisition),
    ],
    "Reference standard": [
        ("How the truth was defined", claim_partitions.truth),
        ("Why that definition was chosen", _never),
        ("Who labeled, and how they were qualified", _never),
        ("How the test set was labeled", claim_partitions.test_labels),
        ("How far labelers agree with each other and with themselves", _never),
    ],
    "Data partitions": [
        ("How data were dealt into sections", claim_partitions.partitions),
        ("At which level the sections are disjoint", claim_partitions.disjoint),
        ("Planned sample size, and how it was found", _never),
    ],
    "Model": [
        ("The model in detail", claim_model.model),
        ("Software and its versions", claim_model.software),
        ("How parameters were initialized", claim_model.initialized),
        ("How it was trained: augmentation, settings, number of models", claim_model.training),
        ("How the final model was chosen", claim_model.chosen),
        ("Ensembles, if any", claim_model.ensembles),
    ],
    "Evaluation": [
        ("Measures of performance", claim_evaluation.measures),
        ("Measures of uncertainty and significance", claim_evaluation.uncertainty),
        ("Robustness or sensitivity", claim_evaluation.robustness),
        ("How the model is explained, and whether that was checked", claim_evaluation.explained),
        ("Tried on internal data", claim_evaluation.internal),
        ("Tried on external data", claim_evaluation.external),
        ("Registration of the trial", _never),
    ],
    "Results": [
        ("Patients or films included and excluded", claim_data.numbers),
        ("Who the patients of each section are", claim_results.patients),
        ("Performance with its uncertainty", claim_results.performance),
        ("Diagnostic accuracy with its precision", claim_results.accuracy),
        ("Analysis of the failures", claim_results.failures),
    ],
    "Discussion": [
        ("Limits of the study", claim_results.limits),
        ("What follows for practice; intended use", claim_results.intended),
    ],
    "Other": [
        ("Where the full protocol and further details stand", claim_model.protocol),
        ("Where software, model and data can be had", claim_model.availability),
        ("Funding, and the part that funders played", _never),
    ],
}


def claim_checklist(run: RunFiles) -> list[ClaimItem]:
    """Return the 44 items, each with the answer that the run gives, or that it gives none.

    An empty run directory leaves nothing known. In part it answers what holds for any run of this
    library: that it is for research only, and under which licence the software can be had.

    Args:
        run: what the run directory holds.
    """
    items: list[ClaimItem] = []
    for part, lines in _ITEMS.items():
        for item, ask in lines:
            answer = _asked(ask, run)
            items.append(ClaimItem(len(items) + 1, item, answer.text, answer.state, part))
    return items


def _asked(ask: Callable[[RunFiles], Answer], run: RunFiles) -> Answer:
    try:
        return ask(run)
    except Exception as error:  # the file says something else than expected: then it is not known
        _log.warning("The checklist goes without an answer: %s", type(error).__name__)
        return not_known()


def write_claim_checklist(run_dir: str | os.PathLike[str], *, run: RunFiles | None = None) -> Path:
    """Write ``CLAIM.md`` into a run directory, whole or not at all.

    Args:
        run_dir: the run directory.
        run: what it holds, if it has been read already.

    Returns:
        Path of the checklist.
    """
    items = claim_checklist(run or read_run(Path(run_dir)))
    states = [item.state for item in items]
    lines = [
        "# Checklist for AI in medical imaging",
        "",
        "The topics follow the CLAIM 2024 update (https://doi.org/10.1148/ryai.240300); the "
        "wording is shorter than the original. The answers are what the run directory can tell: "
        f"{states.count('known')} of {len(items)} are known, {states.count('partly')} in part. "
        "The rest is for you to write.",
    ]
    for part in _ITEMS:
        rows = [
            [
                str(item.number),
                item.item,
                "**not known**" if item.state == "not known" else cell(item.answer),
            ]
            for item in items
            if item.part == part
        ]
        lines += ["", f"## {part}", "", *table(["", "item", "answer"], rows)]
    path = Path(run_dir) / "CLAIM.md"
    write_text_atomically(path, "\n".join(lines) + "\n")
    return path
