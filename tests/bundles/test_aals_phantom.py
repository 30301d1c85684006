# SPDX-License-Identifier: Apache-2.0
"""On drawn films, from few boxes and the labels of whole films, fractures are found."""

from __future__ import annotations

import json

import pytest

from monai_kd.cli.demo import plan

pytestmark = pytest.mark.slow


def demo_knobs(bundle, folder):
    """The knobs of `demo --method aals`, without those that say where things lie."""
    steps = plan(folder, bundle.folder, method="aals", quick=False)
    words = next(list(step.command) for step in steps if "configs/train.json" in step.command)
    knobs = dict(zip(words[6::2], words[7::2], strict=True))
    given = {name.removeprefix("--"): value for name, value in knobs.items()}
    return {name: value for name, value in given.items() if name not in {"resume", "cache_dir"}}


def test_both_stages_in_one_command_find_the_fractures(aals, tmp_path):
    """The settings of `demo --method aals` on fewer films for less time, judged on test films."""
    from monai_kd.data import draw_phantom_archive, film_groups, load_datalist

    archive = draw_phantom_archive(tmp_path / "archive", images=400, size=160, task="fracture")
    datalist = load_datalist(archive / "datalist.json")
    groups = film_groups(datalist.section("labeled"), datalist.findings)
    assert groups.count(0) < 0.15 * groups.count(1)  # few boxes: that is the point
    run = tmp_path / "run"
    shorter = {"first_stage_epochs": "8", "max_epochs": "4"}
    settings = demo_knobs(aals, tmp_path) | shorter
    trained = aals.run_in_process("train", **settings | {"dataset_dir": archive, "output_dir": run})
    assert trained.returncode == 0, trained.said
    assert {row["phase"] for row in aals.read_csv(run / "metrics.csv")} == {
        "first_stage",
        "second_stage",
    }
    evaluated = aals.run_in_process(
        "train", "evaluate", dataset_dir=archive, output_dir=run, pictures=0, worst_films=0
    )
    assert evaluated.returncode == 0, evaluated.said
    summary = json.loads((run / "evaluation.json").read_text())["sections"]["test"]
    places = list(summary["localization"].values())
    assert len(places) == 2
    assert sum(place["froc_score"] for place in places) / len(places) > 0.6
