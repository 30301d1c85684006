# SPDX-License-Identifier: Apache-2.0
"""One picture: the same films as two models see them, for a README or a slide."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_kd.report.run_files import read_run
from monai_kd.utils import MonaiKDError, write_atomically

__all__ = ["side_by_side_png", "write_side_by_side"]

_INK = "#33404a"


def write_side_by_side(
    run_dir: str | os.PathLike[str], baseline_dir: str | os.PathLike[str], *, films: int = 4
) -> Path:
    """Write ``decision_regions.png`` into a run directory: baseline above, this run below.

    Args:
        run_dir: an evaluated run directory.
        baseline_dir: run directory of the model to compare with, evaluated on the same section.
        films: how many films, those that both runs have drawn.

    Returns:
        Path of the picture.

    Raises:
        MonaiKDError: if the two runs have drawn no film in common.
    """
    run, baseline = read_run(Path(run_dir)), read_run(Path(baseline_dir))
    shared = [name for name in run.pictures if name in baseline.pictures][:films]
    if not shared:
        raise MonaiKDError(
            "write_side_by_side: the two runs must have drawn the same films, got none in common. "
            "Evaluate both on one section, with `pictures` above 0."
        )
    rows = {
        _title(baseline.config, "baseline"): [baseline.pictures[name] for name in shared],
        _title(run.config, "this run"): [run.pictures[name] for name in shared],
    }
    content = side_by_side_png(rows)
    path = Path(run_dir) / "decision_regions.png"
    write_atomically(path, lambda file: file.write(content))
    return path


def side_by_side_png(rows: Mapping[str, Sequence[bytes]]) -> bytes:
    """Return a grid of pictures, one row per model.

    Args:
        rows: PNGs by the model's name, equally many each.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    columns = max(len(pictures) for pictures in rows.values())
    figure = Figure(figsize=(2.5 * columns, 2.65 * len(rows)), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (name, pictures) in zip(grid, rows.items(), strict=True):
        axes[0].set_ylabel(name, color=_INK, fontsize=12)
        for axis, picture in zip(axes, pictures, strict=True):
            axis.imshow(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")))
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _title(config: dict[str, object], otherwise: str) -> str:
    return str(config.get("method") or otherwise)
