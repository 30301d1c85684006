# SPDX-License-Identifier: Apache-2.0
"""What a header or a file name says of a patient is found nowhere in what a run leaves behind."""

from __future__ import annotations

import base64
import csv
import io
import logging
import re
import shutil
import subprocess
import sys

import pytest

PLANTED = ("Quillfeather", "Xanthippe", "7734198265", "19340517")
NAME, RECORD, BIRTH_DATE = "Quillfeather^Xanthippe", "MRN7734198265", "19340517"


def holds(content):
    """Return the planted words in some bytes, also in UTF-16 and in pictures inside a page."""
    found = {
        word
        for word in PLANTED
        for coded in (word.encode(), word.encode("utf-16-le"))
        if coded.lower() in content.lower()
    }
    for encoded in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
        found |= holds(base64.b64decode(encoded))
    if content.startswith(b"\x89PNG"):
        from PIL import Image

        found |= holds(repr(Image.open(io.BytesIO(content)).info).encode())
    return found


def told(folder):
    """Return where, below a folder, a planted word stands: in a file's name or in its bytes."""
    paths = sorted(folder.rglob("*"))
    assert paths, "nothing was looked at"
    named = [path for path in paths if holds(path.relative_to(folder).as_posix().encode())]
    return named + [path for path in paths if path.is_file() and holds(path.read_bytes())]


@pytest.fixture
def planted_archive(archive, tmp_path):
    """Films that all carry the planted words in the header; the record number names each file."""
    import pydicom

    folder = tmp_path / "archive"
    (folder / "dicom").mkdir(parents=True)
    with (archive / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        film = pydicom.dcmread(archive / row["image"])
        film.PatientName, film.PatientID, film.PatientBirthDate = NAME, RECORD, BIRTH_DATE
        row["image"] = f"dicom/{RECORD}_{number}.dcm"
        row["patient_id"] = f"{RECORD}-{row['patient_id']}"
        film.save_as(folder / row["image"])
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("image", "label", "patient_id", "view", "site"))
        writer.writeheader()
        writer.writerows({name: row[name] for name in writer.fieldnames} for row in rows)
    (tmp_path / "salt").write_bytes(b"sixteen bytes or more of salt")
    return folder


def run_command(hkd, *words):
    done = subprocess.run(
        [sys.executable, "-m", "monai_kd", *map(str, words)],
        env=hkd.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_planted_name_and_record_number_are_found_nowhere(hkd, planted_archive, tmp_path):
    assert told(planted_archive), "the search does not find what was planted"
    run, out, cache = (tmp_path / name for name in ("run", "predictions", "cache"))
    logs = [
        run_command(
            hkd,
            "datalist",
            planted_archive,
            *("--labels", planted_archive / "labels.csv"),
            *("--salt", tmp_path / "salt"),
            *("--labeled", "1.0", "--rounds", "0", "--validation", "0.2", "--test", "0.3"),
        )
    ]
    new = tmp_path / "new"
    new.mkdir()
    for film in sorted((planted_archive / "dicom").iterdir())[:3]:
        shutil.copy(film, new / film.name)
    (new / f"{RECORD}_broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + NAME.encode())
    where = {"dataset_dir": planted_archive, "output_dir": run, "cache_dir": cache}
    for done in (
        hkd.run_in_process("train", **where, **{**hkd.tiny, "method": "self_distillation"}),
        hkd.run_in_process("train", "evaluate", **where),
        hkd.run_in_process(
            "inference", dataset_dir=new, model_dir=run, output_dir=out, heat_maps=True
        ),
    ):
        assert done.returncode == 0, done.said
        logs.append(done.said)
    logs.append(run_command(hkd, "report", run))
    assert len(list((out / "heat_maps").iterdir())) == 3
    assert (run / "report.html").is_file()
    assert "student epoch 2 of 2" in logs[1]
    assert told(run) == []
    assert told(out) == []
    assert told(cache) == []
    assert [log for log in logs if holds(log.encode())] == []


def test_a_film_that_cannot_be_read_gets_a_row_and_stops_nothing(
    hkd, archive, finished, tmp_path, caplog
):
    folder, out = tmp_path / "new", tmp_path / "out"
    folder.mkdir()
    for film in sorted((archive / "dicom").iterdir())[:3]:
        shutil.copy(film, folder / film.name)
    whole = (folder / "film_0001.dcm").read_bytes()
    (folder / f"{RECORD}.dcm").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.INFO):
        hkd.run("inference", dataset_dir=folder, model_dir=finished.run, output_dir=out)
    rows = hkd.read_csv(out / "predictions.csv")
    broken = [row for row in rows if row["problem"]]
    read = [row for row in rows if not row["problem"]]
    assert len(broken) == 1
    assert len(read) == 3
    assert broken[0]["prob_viral"] == ""
    for row in read:
        total = sum(float(row[f"prob_{name}"]) for name in ("healthy", "bacterial", "viral"))
        assert total == pytest.approx(1, abs=1e-5)
    said = [record.getMessage() for record in caplog.records]
    assert sum(bool(re.search(r"Film \d+ has no prediction\.", line)) for line in said) == 1
    assert not [line for line in said if holds(line.encode())]
    assert not holds((out / "predictions.csv").read_bytes())
