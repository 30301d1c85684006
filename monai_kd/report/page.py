# SPDX-License-Identifier: Apache-2.0
"""One HTML file that holds the evidence of a run and needs nothing else: no network, no scripts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai_kd.report.claim import write_claim_checklist
from monai_kd.report.common import is_number
from monai_kd.report.comparable import why_not_comparable
from monai_kd.report.markdown import number, span
from monai_kd.report.model_card import write_model_card
from monai_kd.report.run_files import RunFiles, read_run
from monai_kd.report.sections import SECTIONS
from monai_kd.utils import MonaiKDError, write_text_atomically

__all__ = ["build_page"]

_log = logging.getLogger(__name__)


def build_page(
    run_dir: str | os.PathLike[str], *, baseline_dir: str | os.PathLike[str] | None = None
) -> Path:
    """Write ``report.html``, ``MODEL_CARD.md`` and ``CLAIM.md`` into a run directory.

    Each is written whole or not at all. They are made of ``evaluation.json``, ``predictions.csv``,
    ``metrics.csv``, ``config.json`` and ``pictures/``. What is missing or cannot be read is said
    on the page; nothing of it stops it. Salted ids and names of films do not get in; of a path
    only its last part does.

    Args:
        run_dir: the run directory.
        baseline_dir: run directory of a model to compare with, evaluated on the same films for
            the same findings; otherwise the page says why it goes without. None: no comparison.

    Returns:
        Path of the page.

    Raises:
        MonaiKDError: if a directory does not exist.
    """
    for name, folder in (("run_dir", run_dir), ("baseline_dir", baseline_dir)):
        if folder is not None and not Path(folder).is_dir():
            raise MonaiKDError(
                f"build_page: `{name}` must be a run directory, got a path that does not exist. "
                "Give the `output_dir` of a training run."
            )
    run = read_run(Path(run_dir))
    baseline = read_run(Path(baseline_dir)) if baseline_dir is not None else None
    page = run.folder / "report.html"
    write_text_atomically(page, _render(run, baseline))
    write_model_card(run.folder, run=run)
    write_claim_checklist(run.folder, run=run)
    return page


def _render(run: RunFiles, baseline: RunFiles | None) -> str:
    from jinja2 import Environment, PackageLoader

    refused = why_not_comparable(run, baseline) if baseline else None
    if refused:
        _log.warning("The page goes without the baseline: %s.", refused)
        baseline = None
    environment = Environment(
        loader=PackageLoader("monai_kd", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "p_value": _p_value,
        "percent": _percent,
        "percent_span": _percent_span,
        "scaled": _scaled,
        "signed": _signed,
        "span": span,
    }
    environment.globals["guarded"] = _guarded
    view = {name: _built(name, run, baseline) for name in SECTIONS}
    return environment.get_template("page.html").render(
        view, refused=refused, foreign=run.foreign.get("predictions.csv")
    )


def _guarded(title: str, caller: Callable[[], str]) -> str:
    """What a part of the page says, or its title alone when its values are not as they should."""
    from markupsafe import Markup

    try:
        return caller()
    except Exception as error:  # a page with a gap is better than no page
        _log.warning("The page goes without `%s`: %s", title, type(error).__name__)
        told = "the files of the run do not hold what belongs here"
        gap = '<section><h2>{}</h2><p class="missing">Not available: {}.</p></section>'
        return Markup(gap).format(title, told)


def _built(name: str, run: RunFiles, baseline: RunFiles | None) -> Any:
    """A section, or None when its files do not hold what they should."""
    try:
        return SECTIONS[name](run, baseline)
    except Exception as error:  # a page with a gap is better than no page
        _log.warning("The page goes without its section %s: %s", name, type(error).__name__)
        return None


def _signed(value: Any, digits: int = 3) -> str:
    return f"{value:+.{digits}f}".replace("-", "−") if is_number(value) else "–"  # noqa: RUF001


def _percent(value: Any, digits: int = 0) -> str:
    return f"{value:.{digits}%}" if is_number(value) else "–"  # noqa: RUF001


def _percent_span(limits: Sequence[float], digits: int = 0) -> str:
    return " to ".join(_percent(limit, digits) for limit in limits)


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _scaled(value: float, start: float) -> float:
    """Position of a value between ``start`` and 1, 0 to 100."""
    return round(100 * min(max((value - start) / (1 - start), 0), 1), 2)
