# SPDX-License-Identifier: Apache-2.0
"""``predictions.csv`` read back."""

from __future__ import annotations

import pytest

from monai_kd.metrics import read_predictions


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        pytest.param(["p", "", "p", " "], 3, id="some blank"),
        pytest.param(["", "", "", ""], None, id="all blank"),
    ],
)
def test_films_of_unknown_patients_are_patients_of_their_own(tmp_path, patients, expected):
    rows = [f"f{i},{who},1,0.5" for i, who in enumerate(patients)]
    path = tmp_path / "predictions.csv"
    path.write_text("\n".join(["id,patient_id,label_a,prob_a", *rows]) + "\n")
    found = read_predictions(path).patient_id
    assert found == expected if expected is None else len(set(found)) == expected
