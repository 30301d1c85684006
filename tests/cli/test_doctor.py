# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys

import pytest

from monai_kd.cli import machine
from monai_kd.cli.main import main


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_a_working_machine_is_ready(tmp_path, capsys):
    assert main(["doctor", "--quick", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Ready. No network is needed" in out
    assert [word for word in ("Packages", "DICOM files", "Machine") if word not in out] == []


def test_json_has_the_same_findings(tmp_path, capsys):
    assert main(["doctor", "--quick", "--json", "--output", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ready"] is True
    names = {finding["name"] for found in report["sections"].values() for finding in found}
    assert {"torch", "monai", "RLE", "JPEG 2000", "memory", "disk", "write access"} <= names


def test_a_folder_that_cannot_be_written_is_not_ready(monkeypatch, tmp_path, capsys):
    def refuse(**settings):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    assert main(["doctor", "--quick", "--output", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "MISS  write access" in out
    assert "Choose another folder with --output." in out


def test_a_run_folder_need_not_exist_yet(tmp_path):
    found = by_name(machine.system(tmp_path / "runs" / "first"))
    assert found["write access"].state == "ok"
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_is_not_ready(monkeypatch, tmp_path):
    monkeypatch.setattr(
        machine.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0)
    )
    assert by_name(machine.system(tmp_path))["disk"].state == "missing"


@pytest.mark.parametrize(
    ("installed", "state"),
    [
        ("1.5.9", "missing"),
        ("1.6", "note"),
        ("1.6.1", "ok"),
        ("1.6.1+cpu", "ok"),
        (None, "missing"),
    ],
)
def test_a_package_is_held_against_its_floor_and_the_tested_set(monkeypatch, installed, state):
    def version(name):
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert machine._package("monai", "1.6", "1.6.1").state == state


def test_every_requirement_is_looked_at():
    required = machine._requirements()
    assert required["monai"] == "1.6"
    assert required["torch"] == "2.8"
    assert "ruff" not in required


def test_a_missing_codec_names_what_adds_it(monkeypatch):
    from pydicom import pixels

    class Nothing:
        available_plugins = ("pillow",)

    monkeypatch.setattr(pixels, "get_decoder", lambda uid: Nothing)
    found = by_name(machine.codecs())
    assert found["JPEG baseline (8 bit)"].state == "ok"
    assert found["JPEG extended (12 bit)"].state == "note"  # pillow reads 8 bits of it only
    assert 'pip install "monai-kd[dicom]"' in found["JPEG extended (12 bit)"].hint
    assert "GPL" in found["JPEG extended (12 bit)"].hint


def test_without_a_gpu_the_slow_network_is_named(monkeypatch):
    torch = pytest.importorskip("torch", reason="needs torch to ask for a GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "_convolution_speed", lambda: 1e11)
    monkeypatch.setattr(machine, "_half", lambda: machine.Finding("bfloat16", "pretended"))
    found = by_name(machine.compute())
    assert found["GPU"].state == "note"
    assert "use resnet18 at 128 px" in found["convnext_small at 224 px"].hint
    # 6e9 * 8.7 multiply-adds * 16 images / (1e11 * 0.6)
    assert found["convnext_small at 224 px"].details["seconds"] == pytest.approx(13.92)
    assert found["resnet18 at 128 px"].hint == ""


def test_a_torch_that_does_not_load_is_not_ready(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert [finding.state for finding in machine.compute()] == ["missing"]


def test_the_measured_speed_is_plausible():
    assert 1e8 < machine._convolution_speed() < 1e15
