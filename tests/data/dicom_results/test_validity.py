# SPDX-License-Identifier: Apache-2.0
"""What is written is valid DICOM, by another program: dciodvfy of dicom3tools."""

from __future__ import annotations

import shutil
import subprocess

import pytest

DCIODVFY = shutil.which("dciodvfy")


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy is not installed (package dicom3tools)")
@pytest.mark.parametrize("detected", [True, False])
@pytest.mark.parametrize("orientation", [["L", "F"], None])
def test_dciodvfy_finds_no_error(detected, orientation, tmp_path, write_film, write_results):
    film = write_film(tmp_path / "film.dcm", PatientOrientation=orientation)
    results = write_results(film, tmp_path / "out", **({} if detected else {"detections": []}))
    # Our code scheme; that of a film that does not say its side, the side is unknown.
    known = ("99MONAIKD", "is only permitted to be empty when actually unknown")
    for path in results.paths:
        done = subprocess.run(
            [str(DCIODVFY), str(path)], capture_output=True, text=True, check=False
        )
        complaints = [
            line
            for line in (done.stdout + done.stderr).splitlines()
            if line.startswith(("Error", "Warning")) and not any(word in line for word in known)
        ]
        assert complaints == []
        assert done.returncode == 0
