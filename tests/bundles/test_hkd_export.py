# SPDX-License-Identifier: Apache-2.0
"""The model of a run leaves as TorchScript and ONNX, and stays the same model."""

from __future__ import annotations

import re

import pytest
import torch

from monai_kd.cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture
def run(finished, tmp_path):
    """A copy of what an export needs."""
    import shutil

    for name in ("model.pt", "config.json"):
        shutil.copy(finished.run / name, tmp_path / name)
    return tmp_path


def test_both_formats_are_written_and_the_difference_is_printed(hkd, run, capsys):
    assert main(["export", str(run)]) == 0
    printed = capsys.readouterr().out
    found = dict(re.findall(r"(model\.\w+): largest difference (\S+)", printed))
    assert sorted(found) == ["model.onnx", "model.ts"]
    assert all(float(difference) < 1e-4 for difference in found.values())


def test_the_files_answer_as_the_network_does(run):
    import onnxruntime

    from monai_kd.engines import load_model
    from monai_kd.networks import build_backbone

    main(["export", str(run)])
    network = build_backbone("resnet10-w16", num_findings=3, dropout=0.1)
    load_model(network, run / "model.pt")
    network.eval()
    image = torch.randn(3, 1, 64, 64)
    expected = network(image).detach()
    torch.testing.assert_close(
        torch.jit.load(run / "model.ts").eval()(image), expected, atol=1e-4, rtol=0
    )
    session = onnxruntime.InferenceSession(str(run / "model.onnx"))
    answer = session.run(None, {session.get_inputs()[0].name: image.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(answer), expected, atol=1e-4, rtol=0)


def test_a_difference_is_seen(run, monkeypatch, capsys):
    """An exported file with other weights must not look right."""
    from monai_kd.engines import export

    real = export.ckpt_export

    def other_weights(**given):
        state = torch.load(given["ckpt_file"], weights_only=True)
        torch.save({name: value + 1 for name, value in state.items()}, run / "other.pt")
        real(**{**given, "ckpt_file": str(run / "other.pt")})

    monkeypatch.setattr(export, "ckpt_export", other_weights)
    assert main(["export", str(run), "--formats", "torchscript"]) == 0
    assert float(capsys.readouterr().out.split()[-1]) > 0.01


def test_a_folder_without_a_run_is_refused(hkd, tmp_path, capsys):
    assert main(["export", str(tmp_path), "--bundle", str(hkd.folder)]) == 2
    assert "must hold model.pt and config.json" in capsys.readouterr().err


@pytest.mark.parametrize("trained", [True, False], ids=["a run", "no run"])
def test_the_network_takes_and_gives_what_the_metadata_says(hkd, run, tmp_path, trained):
    from monai.bundle import verify_net_in_out

    model_dir = run if trained else tmp_path / "nothing"
    given = {
        "net_id": "network_def",
        "meta_file": str(hkd.folder / "configs" / "metadata.json"),
        "config_file": hkd.config_files("inference"),
        "device": "cpu",
        "bundle_root": str(hkd.folder),
        "model_dir": str(model_dir),
    }
    verify_net_in_out(**given)
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out(
            **given, **{"_meta_::network_data_format::outputs::pred::num_channels": 4}
        )


@pytest.mark.parametrize(
    ("backbone", "head"),
    [("vit_mini_patch8", "linear"), ("vit_mini_patch8", "mlp"), ("resnet10-w16", "mlp")],
)
def test_transformers_and_other_heads_leave_as_well(hkd, tmp_path, backbone, head):
    """With weights fresh from the generator; the bundle is told of the head."""
    import json
    import shutil

    import onnxruntime

    from monai_kd.engines import export_model
    from monai_kd.networks import build_backbone

    bundle, run = tmp_path / "bundle", tmp_path / "run"
    shutil.copytree(hkd.folder / "configs", bundle / "configs")
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    config["network_def"]["head"] = "$@settings.get('head', 'linear')"
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    run.mkdir()
    settings = {"backbone": backbone, "head": head, "dropout": 0.1, "spatial_size": 64}
    settings |= {"findings": ["healthy", "bacterial", "viral"], "activation": "softmax"}
    (run / "config.json").write_text(json.dumps(settings))
    network = build_backbone(backbone, num_findings=3, dropout=0.1, head=head).eval()
    torch.save(network.state_dict(), run / "model.pt")
    exported = export_model(run, bundle_root=bundle)
    assert [model.path.name for model in exported] == ["model.ts", "model.onnx"]
    assert all(model.largest_difference < 1e-4 for model in exported)
    session = onnxruntime.InferenceSession(str(run / "model.onnx"))
    image = torch.randn(3, 1, 64, 64)
    answer = session.run(None, {session.get_inputs()[0].name: image.numpy()})[0]
    expected = network(image).detach()
    torch.testing.assert_close(torch.from_numpy(answer), expected, atol=1e-4, rtol=0)
