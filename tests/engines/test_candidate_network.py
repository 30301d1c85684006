# SPDX-License-Identifier: Apache-2.0
"""A network that answers with boxes: the same as the tables' candidates, and exported as such."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from monai_kd.cli.main import main
from monai_kd.engines import CandidateNetwork, export_model
from monai_kd.metrics import candidate_boxes, find_candidates
from monai_kd.networks import build_aals_network

BUNDLE = Path(__file__).parents[2] / "bundles" / "cxr_aals_fracture_detection"
SETTINGS = {
    "bundle": "cxr_aals_fracture_detection",
    "backbone": "resnet10-w16",
    "channels": 16,
    "norm": "group",
    "pooling": "lse",
    "spatial_size": 96,
    "radius": 3,
    "findings": ["rib_fracture", "clavicle_fracture"],
    "activation": "sigmoid",
}


def lively_network(seed=0):
    """Fresh weights answer 0.01 everywhere; these maps have peaks."""
    torch.manual_seed(seed)
    network = build_aals_network(
        "resnet10-w16", num_findings=2, channels=16, norm="group", pooling="lse"
    )
    torch.nn.init.normal_(network.head[-1].weight, std=1.5)
    return network.eval()


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    torch.save(lively_network().state_dict(), tmp_path / "model.pt")
    return tmp_path


@pytest.mark.parametrize("shape", [(64, 64), (70, 101)])
@torch.no_grad()
def test_candidates_are_those_of_the_tables_in_pixels_of_the_image(shape):
    """Oracle: `find_candidates` and `candidate_boxes`, which loop over peaks."""
    network, image = lively_network(), torch.randn(2, 1, *shape)
    prob, score, box = CandidateNetwork(network, radius=2, max_candidates=6)(image)
    heat = network.forward_map(image).sigmoid()
    place, height = find_candidates(heat, radius=2, threshold=0.0, max_candidates=6)
    expected = candidate_boxes(heat, place)
    expected[:, 0::2] *= shape[1] / heat.shape[3]
    expected[:, 1::2] *= shape[0] / heat.shape[2]
    assert len(place) > 10
    found = score > 0
    torch.testing.assert_close(score[found], height)
    torch.testing.assert_close(box[found], expected)
    assert box[..., 2].max() <= shape[1] + 1e-4
    assert box[..., 3].max() <= shape[0] + 1e-4
    torch.testing.assert_close(prob, network(image).sigmoid())
    assert not box[~found].any()


@torch.no_grad()
def test_a_planted_peak_comes_back_at_its_place():
    class OnePeak(torch.nn.Module):
        def forward_map(self, image):
            maps = torch.full((len(image), 1, 16, 20), -9.0)
            maps[:, 0, 3:5, 10:13] = 2.0
            maps[:, 0, 4, 11] = 3.0
            return maps

        def image_logits(self, maps):
            return maps.flatten(2).amax(2)

    whole = CandidateNetwork(OnePeak(), max_candidates=2)
    prob, score, box = whole(torch.zeros(1, 1, 64, 80))
    assert prob.item() == pytest.approx(torch.tensor(3.0).sigmoid().item())
    assert score[0, 0, 0].item() == pytest.approx(prob.item())
    assert box[0, 0, 0].tolist() == [40, 12, 52, 20]


@torch.no_grad()
def test_torchscript_says_the_same_for_any_number_and_size_of_films():
    whole = CandidateNetwork(lively_network())
    scripted = torch.jit.script(whole)
    for shape in ((3, 1, 64, 64), (1, 1, 90, 130)):
        image = torch.randn(shape)
        for ours, theirs in zip(whole(image), scripted(image), strict=True):
            torch.testing.assert_close(theirs, ours)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # cells of "lse": fixed in ONNX
def test_both_formats_give_probabilities_and_candidates(run):
    import onnxruntime

    exported = export_model(run, bundle_root=BUNDLE)
    assert [model.path.name for model in exported] == ["model.ts", "model.onnx"]
    for model in exported:
        assert model.largest_difference < 1e-4
        assert model.boxes > 50
        assert model.moved_boxes == 0
    session = onnxruntime.InferenceSession(str(run / "model.onnx"))
    assert [output.name for output in session.get_outputs()] == ["prob", "score", "box"]
    image = torch.randn(3, 1, 96, 96)
    with torch.no_grad():
        expected = CandidateNetwork(lively_network(), radius=3)(image)
    scripted = torch.jit.load(run / "model.ts").eval()(image)
    answers = session.run(None, {"image": image.numpy()})
    for ours, script, onnx in zip(expected, scripted, answers, strict=True):
        torch.testing.assert_close(script, ours, atol=1e-4, rtol=0)
        torch.testing.assert_close(torch.from_numpy(onnx), ours, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_export_makes_candidates_as_the_operating_points_were_chosen(run):
    (run / "operating_points.json").write_text(json.dumps({"radius": 1, "share": 0.9}))
    (exported,) = export_model(run, bundle_root=BUNDLE, formats=("torchscript",))
    image = torch.randn(2, 1, 96, 96)
    with torch.no_grad():
        expected = CandidateNetwork(lively_network(), radius=1, share=0.9)(image)
        for ours, theirs in zip(expected, torch.jit.load(exported.path).eval()(image), strict=True):
            torch.testing.assert_close(theirs, ours)


@pytest.mark.slow
def test_the_command_says_how_near_the_file_is(run, capsys):
    assert main(["export", str(run), "--formats", "torchscript"]) == 0
    printed = capsys.readouterr().out
    found = re.search(r"model\.ts: largest difference (\S+), 0 of (\d+) boxes elsewhere", printed)
    assert float(found[1]) < 1e-4
    assert int(found[2]) > 50


@pytest.mark.slow
def test_a_box_that_lies_elsewhere_is_seen(run, monkeypatch):
    """An exported file with other weights must not look right."""
    from monai_kd.engines import export

    real = export.ckpt_export

    def other_weights(**given):
        state = {f"network.{name}": v for name, v in lively_network(seed=1).state_dict().items()}
        torch.save(state, run / "other.pt")
        real(**{**given, "ckpt_file": str(run / "other.pt")})

    monkeypatch.setattr(export, "ckpt_export", other_weights)
    (exported,) = export_model(run, bundle_root=BUNDLE, formats=("torchscript",))
    assert exported.largest_difference > 0.01
    assert exported.moved_boxes > 10
