# SPDX-License-Identifier: Apache-2.0
"""Training curves: what is read is what was written; the file is a picture, whole or absent."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from monai_kd.metrics import curves_png, draw_curves, read_metrics
from monai_kd.utils import MonaiKDError

TABLE = """phase,epoch,learning_rate,loss,val_loss,val_macro_auroc
teacher,1,0.001,0.9,0.8,0.6
teacher,2,0.001,0.7,,0.7
student,1,0.001,0.8,0.9,0.65
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(TABLE)
    return path


def test_columns_come_by_phase_and_an_empty_cell_is_nan(table):
    phases = read_metrics(table)
    assert list(phases) == ["teacher", "student"]
    assert phases["teacher"]["loss"] == [0.9, 0.7]
    assert math.isnan(phases["teacher"]["val_loss"][1])


def test_each_phase_gets_a_row_of_panels(table):
    two = Image.open(io.BytesIO(curves_png(table)))
    table.write_text("\n".join(TABLE.splitlines()[:3]))
    one = Image.open(io.BytesIO(curves_png(table)))
    assert two.width == one.width
    assert two.height > 1.7 * one.height
    assert np.asarray(one.convert("L")).std() > 5  # not blank


def test_the_file_is_not_touched_when_there_is_nothing_to_draw(table, tmp_path):
    draw_curves(table, tmp_path / "curves.png")
    before = (tmp_path / "curves.png").read_bytes()
    table.write_text(TABLE.splitlines()[0])
    with pytest.raises(MonaiKDError, match="at least one row"):
        draw_curves(table, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes() == before


def test_another_table_is_refused(table):
    table.write_text("a,b\n1,2\n")
    with pytest.raises(MonaiKDError, match=r"column `epoch`, got \['a', 'b'\]"):
        read_metrics(table)
