# SPDX-License-Identifier: Apache-2.0
"""What is promised of written files."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_kd.utils import slug, write_atomically


def test_a_file_is_its_owners_from_the_start_when_asked(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda one, to: (seen.append(one.stat().st_mode & 0o777), replace(one, to))
    )
    write_atomically(tmp_path / "private", lambda file: file.write(b"x"), mode=0o600)
    assert seen == [0o600]
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_other_files_get_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "ours", lambda file: file.write(b"x"))
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_old_file_stays_when_writing_fails(tmp_path):
    (tmp_path / "file").write_text("old")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "file", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rib_fracture-2", "rib_fracture-2"),
        ("../mass / nodule", "___mass___nodule"),
        ("Verdichtung: größer\n", "Verdichtung__gr__er_"),
        ("", "_"),
    ],
)
def test_a_slug_is_safe_in_a_file_name(text, name):
    assert slug(text) == name
