# SPDX-License-Identifier: Apache-2.0
"""The curves of a training that watches its pseudo labels, in words that a reader knows."""

from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure

from monai_kd.metrics import draw_health, read_health
from monai_kd.utils import MonaiKDError

MAPS = """phase,iteration,pseudo_maps,distillation_share,above_center_rib,peak_rib,\
sharpened_mass_rib,precision_rib
second_stage,20,60,0.1,0.5,0.41,0.2,
second_stage,40,60,0.2,0.75,0.5,4,0.5
"""
FILMS = """phase,iteration,teacher_entropy,information,effective_rank,similarity,positive_tb
round_1,20,0.5,1.5,7,0.3,0.4
round_1,40,0.5,3,7,0.3,0.4
"""


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw a table, and return by title of each panel its lines: label, and the highest value."""
    found = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (found.append(self), save(self, *a, **k))
    )

    def draw(text):
        (tmp_path / "health.csv").write_text(text)
        draw_health(tmp_path / "health.csv", tmp_path / "health.png")
        assert (tmp_path / "health.png").read_bytes()[:4] == b"\x89PNG"
        return {
            axis.get_title("left"): {
                line.get_label(): max(v for v in line.get_ydata() if not math.isnan(v))
                for line in axis.get_lines()
            }
            for axis in found[-1].axes
        }

    return draw


def test_pseudo_maps_have_panels_of_their_own(drawn):
    assert drawn(MAPS) == {
        "second_stage: the teacher on positive films": {
            "peak above the center, share of films: rib": 0.75, "mean peak: rib": 0.5,
        },
        "second_stage: what sharpening adds": {"share of the teacher's mass: rib (1 is 4)": 1},
        "second_stage: right, and how much it counts": {
            "distillation, share of the loss": 0.2, "share in hidden regions: rib": 0.5,
        },
    }  # fmt: skip


def test_pseudo_labels_of_films_keep_theirs(drawn):
    panels = drawn(FILMS)
    assert list(panels) == [
        "round_1: self-supervision", "round_1: features", "round_1: pseudo labels",
    ]  # fmt: skip
    assert panels["round_1: self-supervision"]["information (1 is 3)"] == 1


def test_each_phase_has_its_panels(drawn):
    both = drawn(
        MAPS.replace("precision_rib\n", "precision_rib,similarity\n")
        + "round_1,5"
        + 6 * ","
        + ",0.5"
    )
    assert "round_1: features" in both
    assert "second_stage: what sharpening adds" in both


def test_nothing_known_of_hidden_regions_is_no_line(drawn):
    panels = drawn(MAPS.replace("0.5\n", "\n"))
    assert list(panels["second_stage: right, and how much it counts"]) == [
        "distillation, share of the loss"
    ]


def test_what_sharpening_takes_stays_below_0_and_on_the_axis(monkeypatch, tmp_path):
    found = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (found.append(self), save(self, *a, **k))
    )
    (tmp_path / "health.csv").write_text(
        MAPS.replace("0.41,0.2,", "0.41,-0.8,").replace(",4,", ",-0.2,")
    )
    draw_health(tmp_path / "health.csv", tmp_path / "health.png")
    axis = found[0].axes[1]
    (line,) = axis.get_lines()
    assert line.get_label().endswith("(1 is 0.8)")
    assert line.get_ydata().tolist() == [-1, -0.25]
    assert axis.get_ylim()[0] < -1
    assert axis.get_ylim()[1] > 1
    assert found[0].axes[0].get_ylim()[0] == -0.03


def test_an_empty_cell_is_nan(tmp_path):
    (tmp_path / "health.csv").write_text(MAPS)
    values = read_health(tmp_path / "health.csv")["second_stage"]["precision_rib"]
    assert math.isnan(values[0])
    assert values[1] == 0.5


def test_an_empty_table_is_refused(tmp_path):
    (tmp_path / "health.csv").write_text(MAPS.splitlines()[0])
    with pytest.raises(MonaiKDError, match="must have at least one row"):
        draw_health(tmp_path / "health.csv", tmp_path / "health.png")
