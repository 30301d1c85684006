# SPDX-License-Identifier: Apache-2.0
"""A page as its reader sees it, made quickly, of a run with some entries changed."""

from __future__ import annotations

import json
import re

from monai_kd.report.common import data_uri
from monai_kd.report.sections import SECTIONS


def quick_plots(monkeypatch):
    """Plots take most of the time; pages made after this have none of discrimination."""
    for name in ("roc", "precision_recall"):
        monkeypatch.setitem(SECTIONS, name, lambda run, _: run.predictions and data_uri(b"PNG"))
    monkeypatch.setitem(SECTIONS, "confusion", lambda run, _: run.evaluation and data_uri(b"PNG"))


def words(html):
    """The text that a reader sees, spaces as one."""
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", body)


def changed(run, name="evaluation.json", **content):
    """Overwrite entries of a file of the run."""
    path = run / name
    path.write_text(json.dumps(json.loads(path.read_text()) | content))
    return run


def changed_summary(run, **content):
    """Overwrite entries of the summary of section test."""
    sections = json.loads((run / "evaluation.json").read_text())["sections"]
    return changed(run, sections={"test": sections["test"] | content})
