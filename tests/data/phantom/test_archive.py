# SPDX-License-Identifier: Apache-2.0
"""What is promised of the phantom archive."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_kd.data import (
    LabelColumns,
    build_datalist,
    load_datalist,
    read_radiograph,
    refuse_leaks,
    regions_to_mask,
    stored_pixels_sha256,
)
from monai_kd.data.phantom import FAKE_FAMILY_NAMES, draw_phantom_archive
from monai_kd.data.phantom import dicom as phantom_dicom
from monai_kd.data.phantom.film import render_film
from monai_kd.data.phantom.plan import TASKS, plan_films
from monai_kd.data.splits import SplitSettings
from monai_kd.utils import MonaiKDError

SMALL = {"images": 40, "size": 64, "seed": 3}


@pytest.fixture(scope="module", params=sorted(TASKS))
def archive(request, tmp_path_factory):
    return draw_phantom_archive(
        tmp_path_factory.mktemp(request.param) / "phantom", task=request.param, **SMALL
    )


@pytest.fixture(scope="module")
def opacity(tmp_path_factory):
    return draw_phantom_archive(tmp_path_factory.mktemp("one") / "phantom", **SMALL)


def contents(folder):
    return {
        str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()
    }


def all_items(folder):
    datalist = load_datalist(folder / "datalist.json")
    return [item for name in datalist.sections for item in datalist.section(name)]


def truth(item):
    return item.get("hidden_label") or item["label"]


def test_same_settings_give_the_same_bytes_and_another_seed_does_not(opacity, tmp_path):
    again = draw_phantom_archive(tmp_path / "again", **SMALL)
    assert contents(again) == contents(opacity)
    other = draw_phantom_archive(tmp_path / "other", **SMALL | {"seed": 4})
    film = "dicom/film_0001.dcm"
    assert contents(other)[film] != contents(opacity)[film]


def test_a_complete_archive_is_left_alone(opacity):
    before = {f: f.stat().st_mtime_ns for f in opacity.rglob("*")}
    assert draw_phantom_archive(opacity, **SMALL) == opacity
    assert {f: f.stat().st_mtime_ns for f in opacity.rglob("*")} == before


def test_a_drawing_cut_short_has_no_datalist_and_is_drawn_to_the_end(
    opacity, tmp_path, monkeypatch
):
    def cut(film, rendering):
        if film.number == 20:
            raise KeyboardInterrupt("cut")
        return whole(film, rendering)

    whole = phantom_dicom.film_to_dicom
    monkeypatch.setattr(phantom_dicom, "film_to_dicom", cut)
    with pytest.raises(KeyboardInterrupt, match="cut"):
        draw_phantom_archive(tmp_path / "p", **SMALL)
    assert not (tmp_path / "p" / "datalist.json").exists()
    monkeypatch.undo()
    draw_phantom_archive(tmp_path / "p", **SMALL)
    assert contents(tmp_path / "p") == contents(opacity)


def test_another_archive_is_not_overwritten(opacity, tmp_path):
    with pytest.raises(MonaiKDError, match=r"`folder` must be empty.*'task': 'tb'.*Delete"):
        draw_phantom_archive(opacity, **SMALL, task="tb")
    (tmp_path / "labels.csv").write_text("image,label\n")
    with pytest.raises(MonaiKDError, match="got other data"):
        draw_phantom_archive(tmp_path, **SMALL)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"task": "opacities"}, "Did you mean `opacity`"),
        ({"images": 10}, "`images` must be at least 40, got 10"),
        ({"size": 100}, r"`size` must be a multiple of 8.*Take 96"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_refuses_settings_out_of_range(setting, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw_phantom_archive(tmp_path / "p", **setting)
    assert not (tmp_path / "p").exists()


def test_the_datalist_is_valid_free_of_leaks_and_complete(archive):
    datalist = load_datalist(archive / "datalist.json")
    refuse_leaks(datalist)
    items = all_items(archive)
    assert len(items) == SMALL["images"] == len({item["id"] for item in items})
    for item in items[:5]:
        assert item["pixel_sha256"] == stored_pixels_sha256(item["image"])
    for name in ("labeled", "validation", "test"):
        labels = np.array([item["label"] for item in datalist.sections[name]])
        assert labels.any(axis=0).all(), f"{name} has a finding without positives"
        assert not labels.all(axis=0).any(), f"{name} has a finding without negatives"


def test_sections_and_regions_suit_the_task(archive):
    datalist = load_datalist(archive / "datalist.json")
    items = all_items(archive)
    drawn = Counter((item["regions"] is not None, any(truth(item))) for item in items)
    if datalist.findings == ["tuberculosis"]:
        assert datalist.rounds == ["unlabeled_1", "unlabeled_2", "unlabeled_3"]
        assert all(i["label"] == [None] for i in datalist.section("unlabeled_1"))
        assert not drawn[True, True]
        assert not drawn[True, False]
    else:
        assert datalist.rounds == []
    if len(datalist.findings) == 2:
        assert drawn[False, True]
        assert drawn[True, True]
        assert not drawn[False, False]
    for item in items:
        named = {datalist.findings.index(r["finding"]) for r in item["regions"] or []}
        assert named <= {k for k, value in enumerate(truth(item)) if value}


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_finding_changes_the_film_inside_its_region_and_nowhere_else(task):
    films = [f for f in plan_films(60, 1, task) if set(f.patient.present) - {"healthy"}]
    for film in films[:8]:
        here, without = (render_film(film, 128, with_findings=w) for w in (True, False))
        change = np.abs(here.film - without.film)
        mask = regions_to_mask([dict(r, finding=None) for r in here.regions], ["any"], (128, 128))[
            0
        ]
        assert here.regions == without.regions
        assert change[mask > 0].max() > 0.02
        grown = np.pad(mask, 6)
        near = np.lib.stride_tricks.sliding_window_view(grown, (13, 13)).max(axis=(2, 3))
        assert change[near == 0].max(initial=0) < 0.01


@pytest.mark.parametrize("task", ["opacity"])
def test_healthy_films_have_nothing_to_draw(task):
    film = next(f for f in plan_films(60, 1, task) if f.patient.present == ("healthy",))
    here, without = (render_film(film, 64, with_findings=w) for w in (True, False))
    assert here.regions == []
    np.testing.assert_array_equal(here.stored.pixels, without.stored.pixels)


def test_every_dicom_file_is_a_valid_cr_or_dx(archive):
    seen = Counter()
    for file in sorted((archive / "dicom").iterdir()):
        dataset = pydicom.dcmread(file)
        assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        modality = {"1.2.840.10008.5.1.4.1.1.1": "CR", "1.2.840.10008.5.1.4.1.1.1.1": "DX"}
        assert dataset.Modality == modality[dataset.SOPClassUID]
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, 12, 11)
        assert dataset.PatientName.family_name in FAKE_FAMILY_NAMES
        assert dataset.PatientID.startswith("MRN")
        assert dataset.pixel_array.max() < 4096
        if dataset.Modality == "DX":
            assert dataset.PresentationIntentType == "FOR PRESENTATION"
            assert (dataset.RescaleSlope, dataset.RescaleIntercept) == (1, 0)
            inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
            assert dataset.PresentationLUTShape == ("INVERSE" if inverse else "IDENTITY")
        seen[dataset.PhotometricInterpretation] += 1
        seen["window"] += "WindowCenter" in dataset
        seen["lut"] += "VOILUTSequence" in dataset
        seen["slope"] += dataset.get("RescaleIntercept", 0) != 0
        seen[dataset.SOPInstanceUID] += 1
    assert min(seen[k] for k in ("MONOCHROME1", "MONOCHROME2", "window", "lut")) > 0
    assert max(count for uid, count in seen.items() if uid.startswith("2.25")) == 1


def test_our_reader_shows_the_films_as_pydicom_does(opacity):
    compared = 0
    for file in sorted((opacity / "dicom").iterdir()):
        dataset = pydicom.dcmread(file)
        if "WindowCenter" not in dataset:
            continue
        shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
        shown = (shown - shown.min()) / np.ptp(shown)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            shown = 1 - shown
        ours = read_radiograph(file).pixels
        assert np.corrcoef(shown.ravel(), ours.ravel())[0, 1] > 0.999
        compared += 1
    assert compared > 10


def test_lungs_are_darker_than_what_lies_around_them(opacity):
    for item in all_items(opacity):
        lung = np.asarray(Image.open(item["lung_mask"])) > 0
        film = read_radiograph(item["image"]).pixels
        assert 0.08 < lung.mean() < 0.5
        middle = film[32:52, 28:36].mean()
        assert film[lung].mean() < middle


def test_names_and_numbers_of_people_stay_in_the_headers_and_the_owners_table(archive):
    text = (archive / "datalist.json").read_text() + (archive / "regions.json").read_text()
    rows = list(csv.DictReader((archive / "labels.csv").open()))
    assert not [name for name in FAKE_FAMILY_NAMES if name in text]
    assert not [row["patient_id"] for row in rows if row["patient_id"] in text]


def test_the_general_builder_digests_the_archive(archive):
    drawn = load_datalist(archive / "datalist.json")
    findings = drawn.findings
    built = build_datalist(
        archive,
        archive / "labels.csv",
        regions=archive / "regions.json",
        columns=LabelColumns(labels=() if "opacity" in str(archive) else tuple(findings)),
        settings=SplitSettings(labeled=1.0, rounds=0),
    )
    assert sorted(built.findings) == sorted(findings)
    assert built.exclusive == drawn.exclusive
    assert sum(map(len, built.sections.values())) == SMALL["images"]
    ours = {item["image"]: item for items in drawn.sections.values() for item in items}
    for items in built.sections.values():
        for item in items:
            mine = ours[item["image"]]
            assert item["label"] == [truth(mine)[findings.index(f)] for f in built.findings]
            if "hidden_label" not in mine:
                assert (item["regions"] is None) == (mine["regions"] is None)


def test_findings_are_more_common_at_some_sites():
    counts = Counter()
    for film in plan_films(3000, 0, "tb"):
        counts[film.patient.site, bool(film.patient.present)] += 1
    share = {
        s: counts[s, True] / (counts[s, True] + counts[s, False])
        for s in ("north", "south", "harbor")
    }
    np.testing.assert_allclose(list(share.values()), [0.36, 0.50, 0.66], atol=0.04)


def histogram_auroc(folder):
    items = all_items(folder)
    histogram = np.array(
        [np.histogram(read_radiograph(i["image"]).pixels, 32, (0, 1))[0] for i in items], float
    )
    label = np.array([truth(i) for i in items])
    patient = [i["patient_id"] for i in items]
    score = np.zeros(label.shape)
    for train, test in GroupKFold(5).split(histogram, groups=patient):
        for k in range(label.shape[1]):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            model.fit(histogram[train], label[train, k])
            score[test, k] = model.predict_proba(histogram[test])[:, 1]
    return [roc_auc_score(label[:, k], score[:, k]) for k in range(label.shape[1])]


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(TASKS))
def test_gray_values_alone_do_not_tell_the_findings(task, tmp_path):
    folder = draw_phantom_archive(tmp_path / "p", images=300, size=128, task=task)
    auroc = histogram_auroc(folder)
    assert np.mean(auroc) < 0.65
    assert task == "opacity" or max(auroc) < 0.65


def test_coco_boxes_and_polygons_agree(opacity):
    coco = json.loads((opacity / "regions.json").read_text())
    assert len(coco["images"]) == SMALL["images"]
    for one in coco["annotations"]:
        x, y, width, height = one["bbox"]
        points = np.array(one["segmentation"][0]).reshape(-1, 2)
        np.testing.assert_allclose(points.min(axis=0), [x, y], atol=0.11)
        np.testing.assert_allclose(np.ptp(points, axis=0), [width, height], atol=0.11)
