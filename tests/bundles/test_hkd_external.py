# SPDX-License-Identifier: Apache-2.0
"""The model at another site: what it loses, what may be wrong with the films, and where it goes."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Films of another site, as PNG files, all of them inverted."""
    import numpy as np
    from PIL import Image

    from monai_kd.data import draw_phantom_archive, read_radiograph

    folder = tmp_path_factory.mktemp("films") / "elsewhere"
    draw_phantom_archive(folder, images=60, size=64, seed=5)
    content = json.loads((folder / "datalist.json").read_text())
    for items in [part for part in content.values() if isinstance(part, list)]:
        for item in [item for item in items if isinstance(item, dict)]:
            film = read_radiograph(folder / item["image"]).pixels
            path = (folder / item["image"]).with_suffix(".png")
            Image.fromarray(np.rint(255 * (1 - film)).astype(np.uint8)).save(path)
            item["image"] = str(path.relative_to(folder))
            item.pop("pixel_sha256", None)
    content.pop("sha256")
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


def test_another_site_is_judged_against_home_and_inverted_films_are_noticed(
    hkd, finished, elsewhere, tmp_path
):
    out = tmp_path / "elsewhere"
    hkd.run("train", "evaluate", dataset_dir=elsewhere, model_dir=finished.run, output_dir=out)
    external = json.loads((out / "evaluation.json").read_text())["sections"]["test"]["external"]
    home = json.loads((finished.run / "evaluation.json").read_text())["sections"]["test"]
    assert external["internal_auroc"] == pytest.approx(home["macro_auroc"], abs=1e-6)
    assert external["drop"] == pytest.approx(external["internal_auroc"] - external["auroc"])
    assert external["drop_ci"][0] < external["drop"] < external["drop_ci"][1]
    assert any("inverted" in hint for hint in external["hints"])
    page = (out / "report.html").read_text()
    assert "inverted" in page
    assert "resnet10-w16" in page  # what the model is, though its folder is another


def test_another_site_does_not_replace_what_was_said_at_home(hkd, finished, elsewhere):
    from monai_kd.utils import describe_error

    before = (finished.run / "evaluation.json").read_bytes()
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        hkd.run("train", "evaluate", dataset_dir=elsewhere, output_dir=finished.run)
    assert "`output_dir` must be a folder of its own" in describe_error(caught.value)
    assert (finished.run / "evaluation.json").read_bytes() == before


def test_at_home_there_is_no_external_block(finished):
    summary = json.loads((finished.run / "evaluation.json").read_text())["sections"]["test"]
    assert "external" not in summary
