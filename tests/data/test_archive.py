# SPDX-License-Identifier: Apache-2.0
"""What is promised of scanning a folder."""

from __future__ import annotations

import os

from monai_kd.data.archive import scan_archive


def test_files_are_known_by_ending_or_by_how_they_start(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.PNG", "deep/a.dcm", ".hidden.png", "notes.txt", "README"):
        (tmp_path / name).touch()
    (tmp_path / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    assert scan_archive(tmp_path) == ["IM0001", "b.PNG", "deep/a.dcm"]


def test_what_cannot_be_read_is_counted_and_stops_nothing(tmp_path, caplog):
    (tmp_path / "a.png").touch()
    (tmp_path / "SECRET").symlink_to(tmp_path / "gone")
    (tmp_path / "SECRET2").symlink_to(tmp_path / "SECRET2")
    os.mkfifo(tmp_path / "pipe")
    assert scan_archive(tmp_path) == ["a.png"]
    assert "2 files cannot be read" in caplog.text
    assert "SECRET" not in caplog.text
