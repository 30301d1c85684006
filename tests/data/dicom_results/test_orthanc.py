# SPDX-License-Identifier: Apache-2.0
"""Through a real archive and back: Orthanc on this machine, by DICOMweb."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from pydicom import dcmread

ORTHANC = shutil.which("Orthanc")
PLUGINS = [
    path
    for folder in ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/lib/orthanc")
    for path in sorted(Path(folder).glob("libOrthancDicomWeb.so*"))
]
SECONDS = 60


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def archive(tmp_path):
    """Start an empty Orthanc on a free port of the loopback; return its DICOMweb address."""
    port = free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [str(PLUGINS[0])],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("wb") as log:
        server = subprocess.Popen(
            [str(ORTHANC), str(tmp_path / "orthanc.json")], stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/system", server)
        yield f"http://127.0.0.1:{port}/dicom-web"
    finally:
        server.terminate()
        server.wait(SECONDS)


def wait_for(address, server):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    pytest.fail("Orthanc did not start")


def store(address, paths):
    boundary = "film-boundary"
    parts = [
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + path.read_bytes()
        for path in paths
    ]
    request = urllib.request.Request(
        f"{address}/studies",
        data=b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()]),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        },
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def fetch(address, dataset):
    """Return the bytes of one instance."""
    request = urllib.request.Request(
        f"{address}/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        boundary = answer.headers.get_param("boundary").encode()
        body = answer.read()
    part = body.split(b"--" + boundary)[1]
    return part.partition(b"\r\n\r\n")[2][: -len(b"\r\n")]


@pytest.mark.slow
@pytest.mark.skipif(
    ORTHANC is None or not PLUGINS,
    reason="Orthanc with DICOMweb is not installed (packages orthanc, orthanc-dicomweb)",
)
def test_an_archive_keeps_every_object_as_it_is(archive, film, tmp_path, write_results):
    results = write_results(film, tmp_path / "out")
    paths = [film, *results.paths]
    answer = store(archive, paths)
    assert len(answer["00081199"]["Value"]) == len(paths) == 5
    assert answer.get("00081198", {}).get("Value", []) == []  # none failed
    for path in paths:
        sent = dcmread(path)
        back = dcmread(io.BytesIO(fetch(archive, sent)))
        assert back == sent
        assert back.get("PixelData") == sent.get("PixelData")
        assert back.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    study = dcmread(film).StudyInstanceUID
    with urllib.request.urlopen(f"{archive}/studies/{study}/series", timeout=SECONDS) as reply:
        kinds = sorted(series["00080060"]["Value"][0] for series in json.load(reply))
    assert kinds == ["CR", "OT", "PR", "SEG", "SR"]
