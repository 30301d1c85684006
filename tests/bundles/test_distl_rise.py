# SPDX-License-Identifier: Apache-2.0
"""On drawn films the model gets better with every round, without a new label."""

from __future__ import annotations

import json

import pytest

from monai_kd.cli.demo import plan

pytestmark = pytest.mark.slow


def test_auroc_rises_from_round_to_round(distl, tmp_path):
    """The archive and the settings of `demo --method distl`, judged on test films."""
    from monai_kd.data import draw_phantom_archive

    archive = draw_phantom_archive(tmp_path / "archive", images=600, size=128, task="tb")
    steps = plan(tmp_path, distl.folder, method="distl", quick=False)
    words = next(list(step.command) for step in steps if "configs/train.json" in step.command)
    knobs = dict(zip(words[6::2], words[7::2], strict=True))
    settings = {name.removeprefix("--"): value for name, value in knobs.items()}
    run = tmp_path / "run"
    settings |= {"dataset_dir": archive, "output_dir": run, "comparators": "[]", "resume": "False"}
    trained = distl.run_in_process("train", **settings)
    assert trained.returncode == 0, trained.said
    evaluated = distl.run_in_process(
        "train", "evaluate", dataset_dir=archive, output_dir=run, pictures=0, worst_films=0
    )
    assert evaluated.returncode == 0, evaluated.said
    own = json.loads((run / "evolution.json").read_text())["methods"][0]
    auroc = [entry["student"]["value"] for entry in own["rounds"]]
    assert len(auroc) == 4
    assert auroc == sorted(auroc)
    assert auroc[-1] > auroc[0] + 0.05
    assert own["rounds"][-1]["against_initial"]["ci"][0] > 0
